"""Mark in a plan the sites that are first rewritten to OpenVINO's compressed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ovpass.planning.plan import SKIP, Decision, Plan
from ovpass.sites import CompressedMatMul
from ovpass.sites.source_attributes import Asked, asked_of


def as_restated(sites: Sequence[CompressedMatMul]) -> list[CompressedMatMul]:
    """The sites as they are once all of them are in OpenVINO's form."""
    return [site if site.foreign is None else replace(site, foreign=None) for site in sites]


def with_requests(plan: Plan, sites: Sequence[CompressedMatMul], recorded: Asked) -> Plan:
    """The plan for restated sites as one for the sites as they are.

    What is quantized or exempt is restated: exempt means that nothing quantizes the activation, the file's own
    subgraph neither. What is skipped stays as the file has it.
    """
    by_name = {site.name: site for site in sites}

    def said(decision: Decision) -> Decision:
        site = by_name[decision.name]
        asked = asked_of(site, recorded)
        if asked is None:
            return decision
        if site.foreign is None:
            return replace(decision, reason=f"{decision.reason}; the file asked for {asked}")
        if decision.action == SKIP:
            return replace(decision, reason=f"{decision.reason}; the file's {asked} stays")
        return replace(decision, reason=f"{decision.reason}; replaces the file's {asked}", restate=True)

    return replace(plan, decisions=tuple(said(decision) for decision in plan.decisions))
