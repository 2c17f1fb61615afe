"""The kernel lowering: an op of our own in place of MatMuls with vector-quantized weights."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.kernels.toolchain import find_compiler
from ovpass.lowerings.base import Evidence, Lowering
from ovpass.passes.base import Pass
from ovpass.planning.kernel import plan_kernel
from ovpass.planning.native import ModelOptions
from ovpass.planning.plan import REPLACE, Plan
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.targets.names import get_target


def _plan(sites: Sequence[CompressedMatMul], settings: Settings, _: ModelOptions) -> Plan:
    if get_target(settings.target).device == "CPU":
        find_compiler()  # without one the model would not run
    return plan_kernel(sites, settings)


def _passes(plan: Plan) -> list[Pass]:
    from ovpass.passes.vector_kernel import VectorKernel  # noqa: PLC0415 - imports OpenVINO

    return [VectorKernel(tuple(decision.name for decision in plan.chosen(REPLACE)))]


LOWERING = Lowering(
    plan=_plan,
    passes=_passes,
    evidence=Evidence.KERNEL,
    not_timed="lowering kernel has a rule of its own, which always holds",
)
