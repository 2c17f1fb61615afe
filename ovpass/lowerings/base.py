"""The interface of a lowering: a planner, its passes, and the verification for a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import import_module

from ovpass.passes.base import Pass
from ovpass.planning.native import ModelOptions
from ovpass.planning.plan import Plan
from ovpass.settings.lowerings import LOWERINGS
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.support.choices import check_choice

Planner = Callable[[Sequence[CompressedMatMul], Settings, ModelOptions], Plan]


class Evidence(Enum):
    """How a compiled model shows a quantized site."""

    PLUGIN = "the plugin's own quantization of the activation"
    INT8_PRODUCT = "an int8 product whose activation the graph quantizes"
    KERNEL = "an op of our own in place of the MatMul"
    NOTHING = "nothing: the graph computes in floating point"


def _fits(plan: Plan, sites: Sequence[CompressedMatMul]) -> None:
    """Most lowerings check nothing but names and weights."""


@dataclass(frozen=True)
class Lowering:
    """One way to bring dynamic quantization about.

    `plan` decides on every site from sites, settings and the IR's own runtime options; `passes` are the passes for a
    plan, in order. `check` raises PlanError for a plan, perhaps edited, that the sites cannot carry. `not_timed` says
    why no time can be expected of it (`only_if_faster`), with what to do instead; None if the costs of the target know.
    """

    plan: Planner
    passes: Callable[[Plan], list[Pass]]
    evidence: Evidence
    check: Callable[[Plan, Sequence[CompressedMatMul]], None] = _fits
    not_timed: str | None = None


def get_lowering(name: str) -> Lowering:
    """The lowering of that name.

    Raises:
        SettingsError: for an unknown name.
    """
    check_choice("lowering", name, LOWERINGS)
    lowering: Lowering = import_module(LOWERINGS[name]).LOWERING
    return lowering


def evidence_of(plan: Plan) -> Evidence:
    """How a compiled model shows what was planned."""
    return get_lowering(plan.settings.lowering).evidence
