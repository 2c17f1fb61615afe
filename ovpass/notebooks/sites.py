"""Sites in a notebook, with the verdicts of a target or without."""

from __future__ import annotations

from collections import Counter

from ovpass.notebooks.panel import Cell, Panel, Table, render
from ovpass.planning.plan import describe_weights
from ovpass.sites import CompressedMatMul, kind_order
from ovpass.sites.find import Sites
from ovpass.support.formatting import counted
from ovpass.targets import Verdict
from ovpass.targets.group_sizes import format_group_size
from ovpass.transformation.inspection import Inspected


def html(found: Sites | Inspected) -> str:
    """Sites by kind, and all of them to unfold."""
    return render([_plain(found) if isinstance(found, Sites) else panel(found)])


def panel(found: Inspected, key: str = "") -> Panel:
    """The sites of a model with a target's verdicts, of the submodel `key`."""
    alike = Counter((s.kind, describe_weights(s), _judged(v)) for s, v in found.entries)
    rows = [
        (count, kind, weights, *_verdict(*judged))
        for (kind, weights, judged), count in sorted(alike.items(), key=lambda item: kind_order(item[0][0]))
    ]
    sites = [
        (site.name, site.kind, site.layer, describe_weights(site), *_verdict(*_judged(judged)))
        for site, judged in found.entries
    ]
    quantized = sum(judged.eligible for _, judged in found.entries)
    total = counted(len(sites), "site")
    labels = ("Weights (N x K)", "Target", "Group", "Reason")
    return Panel(
        f"MatMuls with compressed weights{f', {key}' if key else ''}",
        f"{found.target} quantizes {quantized} of {total}, group size {format_group_size(found.group_size)}.",
        "on" if quantized else "off",
        (
            Table(("Sites", "Kind", *labels), rows, numeric=("Sites", "Group")),
            Table(("Site", "Kind", "Block", *labels), sites, ("Block", "Group"), title=f"All {total}", folded=True),
        ),
        [f"{name}: the source file requests {asked}." for name, asked in found.asked.items()],
    )


def _plain(found: Sites) -> Panel:
    alike = Counter((site.kind, describe_weights(site)) for site in found)
    rows = [(n, *key) for key, n in sorted(alike.items(), key=lambda item: kind_order(item[0][0]))]
    total, labels = counted(len(found), "site"), ("Sites", "Kind", "Weights (N x K)")
    sites = [_site(site) for site in found]
    return Panel(
        "",
        f"{total}: MatMuls with compressed weights",
        "on" if found else "off",
        (
            Table(labels, rows, numeric=("Sites",)),
            Table(("Site", "Kind", "Block", "Weights"), sites, ("Block",), title=f"All {total}", folded=True),
        ),
    )


def _site(site: CompressedMatMul) -> tuple[object, ...]:
    return site.name, site.kind, site.layer, describe_weights(site)


def _judged(verdict: Verdict) -> tuple[bool, int | None, str]:
    return verdict.eligible, verdict.group_size, verdict.reason


def _verdict(eligible: bool, group_size: int | None, reason: str) -> tuple[object, ...]:
    word = "quantize" if eligible else "skip"
    return Cell(word, word), format_group_size(group_size), reason
