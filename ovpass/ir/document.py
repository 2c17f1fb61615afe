"""The text of an IR: its graph, its metadata, and writing it with changed metadata."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ovpass.ir.graph import Output
from ovpass.ir.metadata import IrMetadata
from ovpass.ir.net import copy_without, read_net
from ovpass.ir.text_graph import IrGraph
from ovpass.support.garbage import collection_paused

_GRAPH_END = "</edges>"


class IrDocument:
    """An .xml as it lies on disk, parsed without OpenVINO and without touching any weights.

    Raises:
        OSError, ElementTree.ParseError, KeyError, ValueError: where it cannot be read or is no complete IR.
    """

    def __init__(self, xml: Path, weights: Path) -> None:
        self._xml = xml
        with collection_paused():
            net, self._root = read_net(xml)
            self.graph = IrGraph(net, weights)
        self.metadata = IrMetadata(self._root, xml)
        needed, present = self.graph.constant_bytes(), weights.stat().st_size
        if needed > present:
            raise ValueError(f"{weights.name} is cut short: {needed} bytes are needed, {present} are there")

    @property
    def ops(self) -> int:
        """How many layers the graph has, bodies aside."""
        return len(self.graph.types)

    def write_without(self, path: Path, ops: Collection[int], instead: Mapping[Output, Output]) -> None:
        """Write the .xml without some ops of its graph; `instead` names for their outputs what is read in their place.

        Raises:
            OSError: if it cannot be written.
        """
        ids = {self.graph.source(index, 0)[0] for index in ops}
        sources = {self.graph.source(*output): self.graph.source(*other) for output, other in instead.items()}
        copy_without(self._xml, self._root, path, ids, sources)

    def text(self) -> str:
        """The .xml with the metadata as they are now; the layers and edges are the same to the byte."""
        head, _, _ = self._xml.read_text(encoding="utf-8").rpartition(_GRAPH_END)
        after = [child for child in self._root if child.tag not in ("layers", "edges")]
        return head + _GRAPH_END + "\n" + "".join(_indented(child) for child in after) + "</net>\n"


def _indented(element: Element) -> str:
    element.tail = None
    ElementTree.indent(element, "\t", level=1)
    return f"\t{ElementTree.tostring(element, encoding='unicode')}\n"
