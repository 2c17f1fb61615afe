"""The layers and edges of an .xml as compact records, read in pieces: an element takes ten times the memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder, XMLParser, tostring

from ovpass.ir.encoding import open_text

_BODIES = {"If": ("then_body", "else_body"), "Loop": ("body",), "TensorIterator": ("body",)}
_PRECISE = ("precise", "DisablePrecisionConversion")
_PIECE = 1 << 16
_DEEPEST = 64
"""Levels of rt_info, and of bodies within bodies: what walks them is recursive."""
_LEVELS_OF_A_BODY = 4
_NO_PORTS = Element("none")
_VERSIONS = ("10", "11")

Source = tuple[str, str]
"""An output by the ids of its layer and port."""


class Port(NamedTuple):
    """An output as it is written; `dimensions` is None where even the rank is dynamic."""

    precision: str | None
    dimensions: tuple[str, ...] | None


class Layer(NamedTuple):
    """A layer as it is written: numbers stay text until somebody asks. `data` are its own attributes."""

    identity: str
    type: str
    name: str | None
    data: Mapping[str, str]
    inputs: int
    outputs: tuple[Port, ...]
    precise: bool
    bodies: tuple[tuple[str, Net], ...]


class Edge(NamedTuple):
    """From an output to an input, by the ids of layers and ports."""

    producer: str
    output: str
    consumer: str
    input: str


@dataclass(frozen=True)
class Net:
    """A graph or the body of one."""

    layers: Sequence[Layer]
    edges: Sequence[Edge]


def read_net(xml: Path) -> tuple[Net, Element]:
    """The graph of an IR, and its root element without layers and edges.

    Raises:
        OSError, ElementTree.ParseError, KeyError, ValueError: where it cannot be read or is no complete IR.
    """
    reader = _Reader()
    layers: list[Layer] = []
    edges: list[Edge] = []
    root = _parse(xml, lambda e: layers.append(reader.layer(e)), lambda e: edges.append(reader.edge(e)))
    if root.get("version") not in _VERSIONS:
        raise ValueError(f"it has version {root.get('version')!r:.60}; OpenVINO reads {' and '.join(_VERSIONS)}")
    return Net(layers, edges), root


def copy_without(
    xml: Path, root: Element, copy: Path, layers: Collection[str], instead: Mapping[Source, Source]
) -> None:
    """Write an .xml anew without some layers of its main graph, told by their ids; `root` is what `read_net` gave.

    `instead` names for the outputs of those layers what is read in their place.

    Raises:
        OSError, ElementTree.ParseError, KeyError, ValueError: as `read_net`.
    """
    edges: list[str] = []
    with copy.open("w", encoding="utf-8") as stream:

        def keep_layer(element: Element) -> None:
            if element.attrib["id"] not in layers:
                stream.write(_text(element))

        def keep_edge(element: Element) -> None:
            if element.attrib["to-layer"] in layers:
                return
            source = element.attrib["from-layer"], element.attrib["from-port"]
            element.attrib["from-layer"], element.attrib["from-port"] = instead.get(source, source)
            edges.append(_text(element))

        stream.write(f"{_text(Element(root.tag, root.attrib)).strip().removesuffix(' />')}><layers>")
        _parse(xml, keep_layer, keep_edge)
        stream.write("</layers><edges>")
        stream.writelines(edges)
        stream.write("</edges>")
        rest = [child for child in root if child.tag not in ("layers", "edges")]
        stream.writelines(map(_text, rest))
        stream.write("</net>")


def _text(element: Element) -> str:
    _check_depth(element, _LEVELS_OF_A_BODY * _DEEPEST)  # writing recurses
    return tostring(element, encoding="unicode")


def _parse(xml: Path, layer: Callable[[Element], None], edge: Callable[[Element], None]) -> Element:
    """Hand over each layer and edge of the main graph once it is whole, and return the root without them."""
    builder = TreeBuilder()
    document = builder.start("document", {})
    parser = XMLParser(target=builder)

    def hand_over(*, unfinished: int) -> None:
        for element in document:
            for child in _taken(element.find("layers"), unfinished):
                layer(child)
            for child in _taken(element.find("edges"), unfinished):
                edge(child)

    with open_text(xml) as stream:
        while piece := stream.read(_PIECE):
            parser.feed(piece)
            hand_over(unfinished=1)
    parser.close()
    root = document[0]
    if root.tag != "net":
        raise ValueError("its root is not <net>")
    _check_complete(root)
    hand_over(unfinished=0)
    _check_depth(root, _DEEPEST)
    return root


def _taken(parent: Element | None, unfinished: int) -> list[Element]:
    """The children of an element, which loses them."""
    if parent is None or len(parent) <= unfinished:
        return []
    count = len(parent) - unfinished
    children = parent[:count]
    del parent[:count]
    return children


def _check_complete(graph: Element) -> None:
    if graph.find("layers") is None or graph.find("edges") is None:
        raise ValueError("it has no layers or no edges")


def _check_depth(root: Element, deepest: int) -> None:
    level = [root]
    for _ in range(deepest):
        level = [child for element in level for child in element]
        if not level:
            return
    raise ValueError(f"what is in its <{root.tag}> is nested more than {deepest} levels deep")


class _Reader:
    """Makes records of elements. Texts and ports that are alike are kept once: most of those of a model are."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._data: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self._outputs: dict[tuple[Port, ...], tuple[Port, ...]] = {}
        self._depth = 0

    def layer(self, element: Element) -> Layer:
        kind = self._text(element.attrib["type"])
        parts: dict[str, Element] = {}
        for child in element:
            parts.setdefault(child.tag, child)
        inputs, outputs = parts.get("input", _NO_PORTS), parts.get("output", _NO_PORTS)
        _check_numbers(element, [*inputs, *outputs])
        return Layer(
            self._text(element.attrib["id"]),
            kind,
            element.get("name"),
            self._attributes(parts.get("data")),
            len(inputs),
            self._ports(outputs),
            "rt_info" in parts and _is_precise(element),
            tuple((name, self._body(parts[name])) for name in _BODIES.get(kind, ()) if name in parts),
        )

    def edge(self, element: Element) -> Edge:
        attributes, text = element.attrib, self._text
        return Edge(
            text(attributes["from-layer"]),
            text(attributes["from-port"]),
            text(attributes["to-layer"]),
            text(attributes["to-port"]),
        )

    def _text(self, text: str) -> str:
        return self._texts.setdefault(text, text)

    def _attributes(self, element: Element | None) -> Mapping[str, str]:
        attributes: Mapping[str, str] = {} if element is None else element.attrib
        if "offset" in attributes:  # no other Constant lies there
            return attributes
        return self._data.setdefault(tuple(attributes.items()), attributes)

    def _ports(self, output: Element) -> tuple[Port, ...]:
        ports = tuple([_port(element) for element in output])
        return self._outputs.setdefault(ports, ports)

    def _body(self, element: Element) -> Net:
        _check_complete(element)
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError(f"its bodies are nested more than {_DEEPEST} levels deep")
        layers, edges = element.find("layers"), element.find("edges")
        body = Net(list(map(self.layer, _taken(layers, 0))), list(map(self.edge, _taken(edges, 0))))
        self._depth -= 1
        return body


def _check_numbers(layer: Element, ports: Sequence[Element]) -> None:
    for number, port in enumerate(ports):
        if port.get("id") != str(number):
            raise ValueError(f"layer {layer.get('name')}: its ports are not numbered from 0 in their order")


def _port(element: Element) -> Port:
    if element.get("rank") == "dynamic":
        return Port(element.get("precision"), None)
    return Port(element.get("precision"), tuple([child.text or "" for child in element if child.tag == "dim"]))


def _is_precise(layer: Element) -> bool:
    return any(attribute.get("name") in _PRECISE for attribute in layer.iterfind("rt_info/attribute"))
