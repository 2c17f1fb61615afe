"""Transform models in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import openvino as ov

from ovpass.errors import ModelError
from ovpass.ir.files import IrFile
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.writer import write_anew
from ovpass.lowerings.pipeline import passes_for
from ovpass.lowerings.planner import check_plan, make_plan, refuse_crashes_of
from ovpass.passes import PassManager, Strip
from ovpass.passes.manager import Outcome
from ovpass.planning.plan import Plan
from ovpass.planning.recorded_plan import refuse_processed
from ovpass.settings.settings import Settings
from ovpass.sites import find_compressed_matmuls
from ovpass.support.atomic_output import staging
from ovpass.support.progress import Progress
from ovpass.transformation.destination import check_file
from ovpass.transformation.loading import check_keys
from ovpass.transformation.publishing import publish_single
from ovpass.transformation.result import Transformed
from ovpass.transformation.run_notes import FILE_NAME, RunNotes


def apply(model: ov.Model, plan: Plan) -> ov.Model:
    """Apply a plan to a clone of `model`. The clone shares unchanged weights with the model.

    Raises:
        PlanError: if the plan is for another model.
        ModelError: if the model already carries a plan.
        PassError: if a pass fails.
    """
    return _applied(model, plan).model


def _applied(model: ov.Model, plan: Plan) -> Outcome:
    refuse_processed(ModelMetadata(model), model.get_friendly_name())
    check_plan(plan, find_compressed_matmuls(model))
    return PassManager(passes_for(plan)).run(model)


def transform_model(
    model: ov.Model,
    output: Path,
    settings: Settings | None,
    plans: Mapping[str, Plan] | None,
    *,
    overwrite: bool,
    allow_crash: bool,
    progress: Progress,
) -> Transformed:
    """`transform` for a model in memory, which is only read: an .xml, its .bin, and run notes where there are any.

    Raises:
        OvpassError: a subclass, as in `transform`. Then nothing is written.
    """
    ir = IrFile(check_file(output, overwrite))
    progress("reading")
    plans = {"": make_plan(model, settings)} if plans is None else plans
    check_keys(plans, [""])
    plan, name = plans[""], model.get_friendly_name()
    if not plan.decisions:
        raise ModelError(f"{name}: has no MatMul with compressed weights; compress them first, with NNCF for example")
    if not allow_crash:
        refuse_crashes_of(plan, find_compressed_matmuls(model))
    progress(f"rewriting {name}")
    outcome = _applied(model, plan)
    run = RunNotes.of([plan])
    with staging(output) as staged:
        written = write_anew(outcome.model, ir, staged)
        run.write(staged / FILE_NAME)
        publish_single(ir, staged, output)
    return Transformed(output, plans, {"": outcome.results}, {"": written.how}, run)


def strip(model: ov.Model) -> ov.Model:
    """Undo `apply` on a clone of `model`.

    Raises:
        ModelError: if ovpass did not change the model, or re-quantized its weights.
    """
    return PassManager([Strip()]).run(model).model
