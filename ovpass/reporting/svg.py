"""Render matplotlib figures as SVG in the page's fonts and colours, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from ovpass.support.extras import extra_module

INK, MUTED, GRID, SURFACE, ACCENT = "#010101", "#020202", "#030303", "#040404", "#050505"
"""Stand-ins: matplotlib wants colours, the page has its own for each theme."""

SERIES = tuple(f"#0{number}0a0b" for number in range(1, 7))
MARKERS = ("o", "s", "^", "D", "v", "P")

_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--line",
    SURFACE: "--card",
    ACCENT: "--accent",
    **{color: f"--series-{number}" for number, color in enumerate(SERIES, 1)},
}
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_GLOBAL = (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style")
_DPI = 72
_FONT = re.compile(r"font(-family|-size)?: [^;]*;?")
_SIZE = re.compile(r"font(?:-size)?: (?:\w+ )*([\d.]+)px")
_COLOR = re.compile(r"#[0-9a-f]{6}")

Draw = Callable[[Any], Mapping[str, Sequence[str]]]
"""Draws on axes, and returns what to say of the points of each artist, by its gid."""


@dataclass(frozen=True)
class Drawing:
    """One SVG for wide screens and one for narrow ones."""

    wide: str
    narrow: str


def drawing(draw: Draw, name: str) -> Drawing:
    """Draw twice; `name` makes ids differ from those of other drawings.

    Raises:
        ExtraError: if matplotlib is missing.
    """
    return Drawing(_drawn(draw, f"{name}-w", (620, 340)), _drawn(draw, f"{name}-n", (340, 300)))


def _drawn(draw: Draw, prefix: str, size: tuple[int, int]) -> str:
    matplotlib = extra_module("matplotlib", "report", "a report with charts")
    figures = extra_module("matplotlib.figure", "report", "a report with charts")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix, "font.size": 11, "svg.id": None}):
        figure = figures.Figure(figsize=(size[0] / _DPI, size[1] / _DPI), dpi=_DPI, layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.subplots()
        _plain(axes)
        titles = draw(axes)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _adopted(stream.getvalue(), prefix, titles)


def _plain(axes: Any) -> None:
    """Nothing but what is needed to read it."""
    axes.patch.set_alpha(0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(colors=MUTED, length=0, pad=6, which="both")
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _adopted(svg: bytes, prefix: str, titles: Mapping[str, Sequence[str]]) -> str:
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(svg)
    for child in list(root):
        if child.tag in _GLOBAL or child.find(f"{{{_SVG}}}style") is not None:
            root.remove(child)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("aria-hidden", "true")
    for gid, texts in titles.items():
        _entitle(root, gid, texts)
    for element in root.iter():
        for key, value in element.attrib.items():
            element.set(key, _own(key, value, prefix))
    return ElementTree.tostring(root, encoding="unicode")


def _entitle(root: ElementTree.Element, gid: str, texts: Sequence[str]) -> None:
    """Each point says what it is when pointed at."""
    group = root.find(f".//*[@id='{gid}']")
    points = [] if group is None else list(group.iter(f"{{{_SVG}}}use"))
    for point, text in zip(points, texts, strict=False):
        ElementTree.SubElement(point, f"{{{_SVG}}}title").text = text


def _own(key: str, value: str, prefix: str) -> str:
    if key == "id":
        return f"{prefix}-{value}"
    if key.endswith("href"):
        return value.replace("#", f"#{prefix}-", 1)
    value = value.replace("url(#", f"url(#{prefix}-")
    return _themed(value) if key == "style" else value


def _themed(style: str) -> str:
    """The page's own font, at the size that was drawn, and its colours."""
    size = _SIZE.search(style)
    own = _FONT.sub("", style) + (f"; font-size: {size[1]}px" if size else "")
    return _COLOR.sub(lambda found: f"var({_VARIABLES[found[0]]})" if found[0] in _VARIABLES else found[0], own)
