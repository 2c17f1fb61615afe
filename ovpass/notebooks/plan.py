"""A plan in a notebook."""

from __future__ import annotations

from ovpass.notebooks.panel import Cell, Panel, Table, render
from ovpass.planning.plan import QUANTIZE, Plan
from ovpass.planning.summary import alike, conditions_of, verdict_of
from ovpass.support.formatting import counted
from ovpass.targets.group_sizes import format_group_size


def html(plan: Plan) -> str:
    """The decisions by kind, and all of them to unfold."""
    return render([panel(plan)])


def panel(plan: Plan, key: str = "") -> Panel:
    """The same, of the submodel `key`."""
    settings = plan.settings
    kinds = Table(
        ("Sites", "Kind", "Action", "Group", "Reason"),
        [
            (count, kind, Cell(action, action), group, reason)
            for count, kind, action, group, reason in alike(plan.decisions)
        ],
        numeric=("Sites", "Group"),
    )
    sites = Table(
        ("Site", "Kind", "Block", "Weights", "Action", "Group"),
        [
            (
                Cell(d.name, below=d.reason),
                d.kind,
                d.layer,
                d.weights,
                Cell(d.action, d.action),
                format_group_size(d.group_size),
            )
            for d in plan.decisions
        ],
        numeric=("Block", "Group"),
        title=f"All {counted(len(plan.decisions), 'site')}",
        folded=True,
    )
    title = f"Plan for {settings.target}, lowering {settings.lowering}"
    return Panel(
        f"{title}, {key}" if key else title,
        verdict_of(plan),
        "on" if plan.chosen(QUANTIZE) else "off",
        (kinds, sites),
        (*conditions_of(plan), *(f"Note: {text}." for text in plan.notes)),
    )
