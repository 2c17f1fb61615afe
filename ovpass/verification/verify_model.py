"""Verify a model: compare the plugin's result with the plan, site by site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ovpass.errors import NoDeviceError
from ovpass.ir.files import open_source
from ovpass.planning.plan import Plan
from ovpass.planning.recorded_plan import recorded_plan, runs_kernels
from ovpass.transformation.loading import load
from ovpass.verification.ask_cpu import ask_cpu
from ovpass.verification.ask_gpu import ask_gpu
from ovpass.verification.ask_kernels import ask_kernels
from ovpass.verification.expectation import asked_group_size, given_plan, properties_of
from ovpass.verification.question import CPU, Question
from ovpass.verification.report import Report


def verify(
    source: Path | str, question: Question | None = None, plans: Mapping[str, Plan] | None = None
) -> dict[str, Report]:
    """Compile each model of `source` that has sites, and compare the result with its plan.

    The plan is the argument, else the plan that `apply` recorded in the model, else the plan of the device's target.
    The keys of the reports are submodels, "" for a single model.

    Raises:
        OvpassError: a subclass, for an invalid model, setting or plan, and for a device that is not available.
    """
    question = question or Question()
    opened = open_source(source)
    with_kernels = [(ir, document) for ir in opened.models if runs_kernels(document := ir.document())]
    if with_kernels:
        return {ir.key if len(with_kernels) > 1 else "": ask_kernels(ir, d, question) for ir, d in with_kernels}
    reports = {}
    for loaded in load(opened):
        plan = given_plan(loaded, plans) or recorded_plan(loaded.document.metadata)
        if plan is None:
            asked_group_size(question)  # before minutes of compiling
        requested = question if plan is None else replace(question, properties=properties_of(plan, question))
        reports[loaded.key] = (ask_cpu if question.device == CPU else ask_gpu)(loaded, plan, requested)
    return reports


def verify_for_target(model: Path, target: str) -> dict[str, Report]:
    """Ask the device that the model's plan is for; a simulated one if this machine has no GPU.

    Raises:
        OvpassError: as `verify`.
    """
    try:
        return verify(model, Question(device=target))
    except NoDeviceError:
        return verify(model, Question(simulate=target))
