"""The text of an IR: its graph, its metadata, and writing it with changed metadata."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ovpass.ir.graph import Output
from ovpass.ir.metadata import IrMetadata
from ovpass.ir.net import copy_without, read_net
from ovpass.ir.text_graph import IrGraph
from ovpass.support.garbage import collection_paused

_GRAPH, _GRAPH_END = ("layers", "edges"), "</edges>"


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
        self._others = [_canonical(child) for child in self._root if child.tag not in _GRAPH]
        self.metadata = IrMetadata(self._root, xml)
        needed, present = self.graph.constant_bytes(), weights.stat().st_size
        if needed > present:
            raise ValueError(f"{weights.name} is truncated: it needs {needed} bytes and has {present}")

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

    def write(self, path: Path) -> None:
        """Write the .xml with the metadata as they are now.

        Layers and edges stay the same to the byte where all else follows them, as OpenVINO's serializer writes it.
        Anything else that OpenVINO reads is written in that order.

        Raises:
            OSError: if it cannot be written.
        """
        head, end, tail = self._xml.read_text(encoding="utf-8").rpartition(_GRAPH_END)
        if not self._is_all_else(tail):
            copy_without(self._xml, self._root, path, (), {})
            return
        after = [deepcopy(child) for child in self._root if child.tag not in _GRAPH]
        path.write_text(head + end + "\n" + "".join(map(_indented, after)) + "</net>\n", encoding="utf-8")

    def _is_all_else(self, tail: str) -> bool:
        """Whether the text behind the last closing tag of edges holds what was read besides layers and edges."""
        try:
            found = ElementTree.fromstring(f"<net>{tail}")
        except ElementTree.ParseError:
            return False
        between = "".join([found.text or "", *(child.tail or "" for child in found)])
        return not between.strip() and [_canonical(child) for child in found] == self._others


def _canonical(element: Element) -> str:
    return ElementTree.canonicalize(ElementTree.tostring(element, encoding="unicode"), strip_text=True)


def _indented(element: Element) -> str:
    element.tail = None
    ElementTree.indent(element, "\t", level=1)
    return f"\t{ElementTree.tostring(element, encoding='unicode')}\n"
