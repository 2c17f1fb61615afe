"""Apply a plan to a model in memory."""

from __future__ import annotations

import openvino as ov

from ovpass.ir.metadata import ModelMetadata
from ovpass.passes import PassManager, Strip, passes_for
from ovpass.plan import Plan
from ovpass.planning import refuse_processed
from ovpass.sites import find_compressed_matmuls


def apply(model: ov.Model, plan: Plan) -> ov.Model:
    """A changed clone of `model`; weights that stay the same are shared with it.

    Raises:
        PlanError: where the plan is for another model.
        ModelError: where the model carries a plan already.
        PassError: where a pass cannot do its work.
    """
    refuse_processed(ModelMetadata(model), model.get_friendly_name())
    plan.check_fits(find_compressed_matmuls(model))
    return PassManager(passes_for(plan)).run(model).model


def strip(model: ov.Model) -> ov.Model:
    """A clone of `model` without what `apply` did.

    Raises:
        ModelError: where ovpass has not changed the model, or has re-quantized weights of it.
    """
    return PassManager([Strip()]).run(model).model
