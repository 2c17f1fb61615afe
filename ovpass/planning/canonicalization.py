"""Mark in a plan the sites that are first rewritten to OpenVINO's compressed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ovpass.planning.plan import SKIP, Decision, Plan
from ovpass.sites import CompressedMatMul
from ovpass.sites.source_attributes import SourceAttributes, describe_source_attributes


def as_canonical(sites: Sequence[CompressedMatMul]) -> list[CompressedMatMul]:
    """The sites as they are once all of them are in OpenVINO's form."""
    return [site if site.noncanonical is None else replace(site, noncanonical=None) for site in sites]


def with_requests(plan: Plan, sites: Sequence[CompressedMatMul], recorded: SourceAttributes) -> Plan:
    """The plan for canonical sites as one for the sites as they are.

    What is quantized or exempt is canonicalized: exempt means that nothing quantizes the activation, the file's own
    subgraph neither. What is skipped stays as the file has it.
    """
    by_name = {site.name: site for site in sites}

    def said(decision: Decision) -> Decision:
        site = by_name[decision.name]
        requested = describe_source_attributes(site, recorded)
        if requested is None:
            return decision
        if site.noncanonical is None:
            return replace(decision, reason=f"{decision.reason}; the source file requests {requested}")
        if decision.action == SKIP:
            return replace(decision, reason=f"{decision.reason}; keeps the source file's {requested}")
        return replace(decision, reason=f"{decision.reason}; replaces the source file's {requested}", restate=True)

    return replace(plan, decisions=tuple(said(decision) for decision in plan.decisions))
