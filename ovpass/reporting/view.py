"""Prepare a side for the template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ovpass.reporting.accuracy import Figure
from ovpass.reporting.charts import Chart, frontier_chart
from ovpass.reporting.conditions import Conditions, conditions
from ovpass.reporting.decision import decision
from ovpass.reporting.devices import SideBySide, side_by_side
from ovpass.reporting.formatting import command_line, listed
from ovpass.reporting.map import Atlas, anchors, draw_maps
from ovpass.reporting.measurements import BenchRun
from ovpass.reporting.provenance import facts, settings_yaml
from ovpass.reporting.reproduction import files
from ovpass.reporting.rules import rules_for
from ovpass.reporting.side import Side
from ovpass.reporting.sites import Key, left_out
from ovpass.reporting.time_charts import latency_charts
from ovpass.reporting.verdict import Line, figures, verdict
from ovpass.reporting.what_if import WhatIf, what_if
from ovpass.sites import kind_order
from ovpass.support.formatting import counted, number


@dataclass(frozen=True)
class KindRow:
    """All sites of one kind in numbers."""

    kind: str
    sites: int
    quantized: int
    exempt: int
    skipped: int
    groups: str
    cost: str


@dataclass(frozen=True)
class View:
    """What is shown of one side. `prefix` keeps ids apart, `letter` names the side in a comparison."""

    side: Side
    prefix: str
    letter: str
    label: str
    when: str
    verdict: tuple[Line, ...]
    conditions: Conditions
    figures: tuple[Figure, ...]
    atlas: Atlas | None
    anchors: Mapping[Key, str]
    modes: tuple[tuple[str, str], ...]
    map_text: str
    kinds: tuple[KindRow, ...]
    actions: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    plugin_text: str
    devices: SideBySide | None
    findings: tuple[tuple[str, str, int], ...]
    frontier: Chart | None
    what_if: WhatIf | None
    latency: tuple[tuple[BenchRun, list[Chart]], ...]
    rules: tuple[str, ...]
    rules_yaml: str
    rules_flags: str
    facts: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str], ...]
    sections: tuple[tuple[str, str], ...]

    @property
    def has_asked(self) -> bool:
        """Whether the file that the model was converted from asked for anything."""
        return any(site.asked for site in self.side.sites)

    @property
    def has_cost(self) -> bool:
        """Whether sites were measured one by one."""
        return any(site.cost is not None for site in self.side.sites)


def make_view(side: Side, letter: str = "") -> View:
    """Everything that the page shows of a side.

    Raises:
        ExtraError: if there is something to draw, and no matplotlib.
    """
    prefix = f"{letter.lower()}-" if letter else ""
    patterns, slider = rules_for(left_out(side.sites), side.sites), what_if(side)
    return View(
        side=side,
        prefix=prefix,
        letter=letter,
        label=_label(side),
        when=" to ".join(dict.fromkeys((min(_dates(side)), max(_dates(side))))),
        verdict=(decision(side), *verdict(side)),
        conditions=conditions(side),
        figures=tuple(figures(side)),
        atlas=draw_maps(side.sites) if side.sites else None,
        anchors=anchors(side.sites, f"{prefix}site-"),
        modes=tuple(_modes(side)),
        map_text=_map_text(side),
        kinds=tuple(_kinds(side)),
        actions=tuple(dict.fromkeys(site.action for site in side.sites)),
        columns=tuple(_columns(side)),
        plugin_text=_plugin_text(side),
        devices=side_by_side(side),
        findings=tuple(_findings(side)),
        frontier=frontier_chart(side.tuned, f"{prefix}frontier") if side.tuned else None,
        what_if=slider,
        latency=tuple(
            (b, latency_charts(b, _threshold(side, b), f"{prefix}b{i}")) for i, b in enumerate(side.benchmarks)
        ),
        rules=tuple(patterns),
        rules_yaml=settings_yaml(side.planned.settings if side.planned else {}, patterns),
        rules_flags=" ".join(f"--exempt {command_line([pattern])}" for pattern in patterns),
        facts=tuple(facts(side.runs)),
        files=tuple(files(side.runs)),
        sections=tuple(_sections(side, slider)),
    )


def _threshold(side: Side, bench: BenchRun) -> int | None:
    """The one that verify found, where it asked the device that was timed."""
    return side.verified.threshold if side.verified and side.verified.device == bench.device else None


def _label(side: Side) -> str:
    """A side in a few words: the model, and where its runs were read."""
    sources = [run.source for run in side.runs]
    return f"{side.title}: {', '.join(sources)}"


def _dates(side: Side) -> list[str]:
    return [run.header.date.partition("T")[0] for run in side.runs]


def _modes(side: Side) -> list[tuple[str, str]]:
    modes = [("by-decision", "Decision"), ("by-group", "Group size")]
    if any(site.cost is not None for site in side.sites):
        modes.append(("by-cost", "Sensitivity"))
    if any(site.agrees is not None for site in side.sites):
        modes.append(("by-plugin", "Plan and plugin"))
    return modes


def _map_text(side: Side) -> str:
    counts = Counter(site.action for site in side.sites)
    blocks = len({(site.submodel, site.layer) for site in side.sites if site.layer is not None})
    names = {"quantize": "to be quantized", "exempt": "exempt on purpose", "skip": "not possible"}
    parts = [f"{counts[action]} {text}" for action, text in names.items() if counts[action]]
    return f"{counted(len(side.sites), 'site')} in {counted(blocks, 'block')}: {listed(parts)}."


def _kinds(side: Side) -> list[KindRow]:
    rows = []
    for kind in sorted({site.kind for site in side.sites}, key=kind_order):
        own = [site for site in side.sites if site.kind == kind]
        actions = Counter(site.action for site in own)
        sizes = Counter(site.found or site.group for site in own if site.on)
        costs = [site.cost for site in own if site.cost is not None]
        groups = ", ".join(str(size) for size, _ in sizes.most_common())
        cost = number(sum(costs), 2) if costs else "-"
        quantized = sum(site.on for site in own)
        rows.append(KindRow(kind, len(own), quantized, actions["exempt"], actions["skip"], groups or "-", cost))
    return rows


def _columns(side: Side) -> list[tuple[str, str]]:
    columns = [("Site", ""), ("Kind", ""), ("Block", "num"), ("Weights", "long"), ("Decision", ""), ("Group", "num")]
    if any(site.asked for site in side.sites):
        columns.append(("Asked for", "long"))
    if side.verified is not None:
        columns.append(("Found", "long"))
    if any(site.cost is not None for site in side.sites):
        columns.append(("Cost", "num"))
    return columns


def _plugin_text(side: Side) -> str:
    seen = side.verified
    if seen is None:
        return ""
    where = f"{seen.device} plugin" + (f", compiled for a simulated {seen.simulated}" if seen.simulated else "")
    agree = len(seen.sites) - len(seen.mismatches)
    nodes = (
        f" It put {seen.dynamic_quantize_nodes} DynamicQuantize nodes into the graph." if seen.device != "CPU" else ""
    )
    return f"{where}: {agree} of {counted(len(seen.sites), 'site')} as planned.{nodes}{_threshold_text(seen.threshold)}"


def _threshold_text(threshold: int | None) -> str:
    if threshold is None:
        return ""
    if threshold == 0:
        return " Quantization runs for any number of tokens."
    return f" Quantization is skipped up to {threshold} tokens."


def _findings(side: Side) -> list[tuple[str, str, int]]:
    pairs = Counter((site.planned, site.found) for site in side.sites if site.found is not None)
    return [(str(planned), str(found), count) for (planned, found), count in pairs.most_common()]


def _sections(side: Side, slider: WhatIf | None) -> list[tuple[str, str]]:
    present: list[tuple[str, str, object]] = [
        ("verdict", "Verdict", True),
        ("settings", "Settings", True),
        ("map", "Map", side.sites),
        ("plugin", "Plugin", side.verified),
        ("accuracy", "Accuracy", side.evaluations),
        ("frontier", "Frontier", side.tuned),
        ("what-if", "What if", slider),
        ("latency", "Time", side.benchmarks),
        ("sensitivity", "Sensitivity", side.measured),
        ("sites", "Sites", side.sites),
        ("rules", "Rules", side.sites),
        ("made", "How to reproduce", True),
    ]
    return [(name, text) for name, text, there in present if there]
