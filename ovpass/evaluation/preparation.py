"""Prepare the in-memory model and compile properties of a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ovpass.errors import ModelError
from ovpass.evaluation.candidates import Candidate
from ovpass.ir.files import IrFile, ModelSource, open_source
from ovpass.ir.note import read_note
from ovpass.ir.runtime_options import GROUP_SIZE, read_group_size
from ovpass.lowerings import Evidence, get_lowering
from ovpass.lowerings.planner import check_plan
from ovpass.planning.plan import QUANTIZE, Plan, load_plans
from ovpass.planning.profile import emulated
from ovpass.planning.recorded_plan import noted_plan
from ovpass.settings.settings import Settings
from ovpass.transformation.loading import Loaded, load, plan_loaded

if TYPE_CHECKING:
    import openvino as ov

CLEAN: Mapping[str, str] = {
    "INFERENCE_PRECISION_HINT": "f32",
    GROUP_SIZE: "0",
    "KV_CACHE_PRECISION": "f32",
}
"""Properties that leave nothing but f32 arithmetic: no dynamic quantization, no compressed KV cache."""


@dataclass(frozen=True)
class Prepared:
    """A model ready to be compiled: `plan` is what was done to it, or None; `how` says it in words.

    `home` is the folder of the model, in which the one that makes its embeddings can lie.
    """

    model: ov.Model
    properties: Mapping[str, str]
    plan: Plan | None
    how: str
    home: Path | None = None


def without_own_quantization(model: ov.Model) -> ov.Model:
    """The same model, in place, without activations that its graph itself quantizes, as files of ONNX Runtime do."""
    from ovpass.passes import PassManager, Restate  # noqa: PLC0415
    from ovpass.sites import find_compressed_matmuls  # noqa: PLC0415

    foreign = tuple(site.name for site in find_compressed_matmuls(model) if site.foreign is not None)
    return PassManager([Restate(foreign)]).run(model, in_place=True).model if foreign else model


def prepare_clean(candidate: Candidate) -> Prepared | None:
    """The candidate's weights without any quantization of activations; None where they cannot be had back."""
    from ovpass.transformation.in_memory import strip  # noqa: PLC0415

    ir = sole_model(candidate)
    metadata = ir.document().metadata
    plan = noted_plan(metadata)
    if plan is not None and any(decision.method == "requantize" or decision.restate for decision in plan.decisions):
        return None
    model = ir.read() if read_note(metadata) is None else strip(ir.read())
    return Prepared(
        without_own_quantization(model),
        CLEAN,
        None,
        "f32 compute, no dynamic quantization, f32 KV cache",
        ir.xml.parent,
    )


def prepare_reference(reference: Candidate) -> Prepared:
    """What candidates are compared with: a model as it is runs clean, where it can.

    Raises:
        OvpassError: as `prepare`.
    """
    return (prepare_clean(reference) if reference.plain else None) or prepare(reference)


def prepare(candidate: Candidate) -> Prepared:
    """The candidate as it is to be judged.

    Raises:
        OvpassError: for a model, setting or plan that does not fit.
    """
    from ovpass.transformation.in_memory import apply  # noqa: PLC0415

    ir = sole_model(candidate)
    if not candidate.changed:
        own = read_group_size(ir.document().metadata)
        properties = {**CLEAN, GROUP_SIZE: str(own or 0), **candidate.properties}
        return Prepared(ir.read(), properties, None, _as_it_is(properties), ir.xml.parent)
    (loaded,) = load(ModelSource(ir.xml, (ir,)))
    plan = planned(candidate, loaded)
    properties = {**CLEAN, GROUP_SIZE: str(plan.model_group_size), **candidate.properties}
    return Prepared(apply(ir.read(), plan), properties, plan, describe(plan), ir.xml.parent)


def planned(candidate: Candidate, loaded: Loaded) -> Plan:
    """The plan that the candidate's model is changed by, emulated where it is one for a plugin."""
    if candidate.plan is not None:
        plan = load_plans(candidate.plan).get(loaded.key) or Plan.load(candidate.plan)
        check_plan(plan, loaded.sites)
    else:
        plan = plan_loaded([loaded], candidate.settings or Settings())[loaded.key]
    if get_lowering(plan.settings.lowering).evidence is Evidence.PLUGIN and candidate.profile is not None:
        return emulated(plan, loaded.sites)
    return plan


def sole_model(candidate: Candidate) -> IrFile:
    """The one model of the candidate's source that has sites, or the only one that there is.

    Raises:
        ModelError: if there are several.
    """
    source = open_source(candidate.path)
    if len(source.models) == 1:
        return source.models[0]
    with_sites = load(source)
    if len(with_sites) != 1:
        names = ", ".join(loaded.key for loaded in with_sites)
        raise ModelError(f"{candidate.path}: holds several models ({names}); name one of the .xml files")
    return with_sites[0].ir


def describe(plan: Plan) -> str:
    """In words: whose arithmetic, at how many sites, in what groups."""
    from collections import Counter  # noqa: PLC0415

    from ovpass.targets.group_sizes import format_group_size  # noqa: PLC0415

    sizes = Counter(format_group_size(decision.group_size or 0) for decision in plan.chosen(QUANTIZE))
    groups = ", ".join(f"{count} at {size}" for size, count in sizes.most_common()) or "no site"
    lowering = f"{plan.settings.target} emulated" if plan.settings.lowering == "emulate" else plan.settings.lowering
    threshold = max((decision.threshold or 0 for decision in plan.decisions), default=0)
    return f"{lowering}: {groups}" + (f", above {threshold} tokens" if threshold else "")


def _as_it_is(properties: Mapping[str, str]) -> str:
    group = properties[GROUP_SIZE]
    quantization = "no dynamic quantization by the plugin" if group == "0" else f"the plugin's own, group size {group}"
    return f"as it is: {properties['INFERENCE_PRECISION_HINT']} compute, {quantization}"
