"""Prepare the in-memory model and compile properties of a candidate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ovpass.errors import ModelError, SettingsError
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.kv_cache import (
    cache_settings,
    check_emulated,
    chunk_tokens,
    describe_cache,
    emulated_settings,
    exact_cache,
    require_cache,
)
from ovpass.evaluation.plan_cache import cache_in_force
from ovpass.evaluation.plugin_quantization import check_quantizes, quantizes_here
from ovpass.ir.files import IrFile, ModelSource, open_source
from ovpass.ir.note import read_note
from ovpass.ir.runtime_options import GROUP_SIZE, read_group_size
from ovpass.lowerings import Evidence, evidence_of
from ovpass.lowerings.planner import check_plan, make_plan
from ovpass.planning.plan import EXEMPT, QUANTIZE, SKIP, Plan, load_plans
from ovpass.planning.profile import emulated
from ovpass.planning.recorded_plan import recorded_plan
from ovpass.settings.kv_cache import CacheFormat
from ovpass.settings.settings import Settings
from ovpass.support.formatting import counted
from ovpass.targets.names import get_target
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

    `home` is the folder of the model, in which the one that makes its embeddings can lie. Texts are fed in pieces of
    `chunk` tokens, None: in one go. `cache` are the settings of the KV cache, if it does not keep f32; `exact` is then
    the model without those that are emulated.
    """

    model: ov.Model
    properties: Mapping[str, str]
    plan: Plan | None
    how: str
    home: Path | None = None
    chunk: int | None = None
    cache: Mapping[str, str] = field(default_factory=dict)
    exact: ov.Model | None = None

    @property
    def emulates_cache(self) -> bool:
        """Whether the graph reads the cache as from formats that are emulated."""
        return self.exact is not None and self.exact is not self.model

    def with_exact_cache(self) -> Prepared:
        """The same with a KV cache in f32."""
        return replace(self, model=self.exact or self.model, properties=exact_cache(self.properties), cache={})


def without_own_quantization(model: ov.Model) -> ov.Model:
    """The same model, in place, without activations that its graph itself quantizes, as files of ONNX Runtime do."""
    from ovpass.passes import Canonicalize, PassManager  # noqa: PLC0415
    from ovpass.sites import find_compressed_matmuls  # noqa: PLC0415

    noncanonical = tuple(site.name for site in find_compressed_matmuls(model) if site.noncanonical is not None)
    return PassManager([Canonicalize(noncanonical)]).run(model, in_place=True).model if noncanonical else model


def has_clean(candidate: Candidate) -> bool:
    """Whether the candidate's weights can be had without any quantization of activations."""
    plan = recorded_plan(sole_model(candidate).document().metadata)
    return plan is None or _can_be_stripped(plan)


def prepare_clean(candidate: Candidate, chunk: int | None = None) -> Prepared | None:
    """The candidate's weights without any quantization of activations; None where they cannot be had back."""
    from ovpass.transformation.in_memory import strip  # noqa: PLC0415

    ir = sole_model(candidate)
    if not has_clean(candidate):
        return None
    model = ir.read() if read_note(ir.document().metadata) is None else strip(ir.read())
    return Prepared(
        without_own_quantization(model),
        CLEAN,
        None,
        "f32 compute, no dynamic quantization, f32 KV cache" + describe_cache({}, chunk),
        ir.xml.parent,
        chunk,
    )


def prepare_reference(
    reference: Candidate, device: str = "CPU", chunk: int | None = None, *, generates: bool = False
) -> Prepared:
    """What candidates are compared with: a model as it is runs clean, where it can.

    Raises:
        OvpassError: as `prepare`.
    """
    clean = prepare_clean(reference, chunk) if reference.plain else None
    return clean or prepare(reference, device, chunk, generates=generates)


def prepare(
    candidate: Candidate, device: str = "CPU", chunk: int | None = None, *, generates: bool = False
) -> Prepared:
    """The candidate as it is to be evaluated on `device`, in pieces of `chunk` tokens if that is given.

    A model that carries a plan for another device is evaluated as that device would run it, emulated. One that
    `generates` predicts the token after the last one only.

    Raises:
        OvpassError: for a model, setting or plan that does not fit.
    """
    ir = sole_model(candidate)
    metadata = ir.document().metadata
    plan = planned(candidate, ir, device)
    if plan is None:
        own = read_group_size(metadata)
        from ovpass.kernels.loading import read_runnable  # noqa: PLC0415 - imports OpenVINO

        model, group, how = read_runnable(ir, device), own or 0, ""
    else:
        model, group, how = _applied(ir, plan, generates=generates), plan.model_group_size, describe(plan)
    own_cache, formats = cache_in_force(candidate, ir, device)
    properties = {**CLEAN, **own_cache, GROUP_SIZE: str(group), **candidate.properties}
    exact = model
    if formats:
        properties, model = exact_cache(properties), _with_cache(model, formats)
    cache = {**cache_settings(properties), **emulated_settings(formats)}
    pieces = chunk_tokens(chunk, cache, _threshold(plan))
    how = (how or _as_it_is(properties)) + describe_cache(cache, pieces)
    return Prepared(model, properties, plan, how, ir.xml.parent, pieces, cache, exact)


def check_candidate(candidate: Candidate, device: str, tokens: int | None, chunk: int | None) -> None:
    """Refuse a candidate whose settings could change nothing, before anything runs.

    `tokens` is the length of the longest input, None if it is not known.

    Raises:
        OvpassError: naming the candidate and what to do.
    """
    ir = sole_model(candidate)
    require_cache(ir, {**cache_settings(candidate.properties), **emulated_settings(candidate.cache)}, candidate.label)
    check_emulated(candidate.cache, candidate.properties, candidate.label, tokens)
    plan = planned(candidate, ir, device)
    if plan is None:
        check_quantizes(ir, {**CLEAN, **candidate.properties}, device, candidate.label)
    if plan is None or (not plan.chosen(QUANTIZE) and len(plan.chosen(EXEMPT)) == len(plan.decisions)):
        return
    if not plan.chosen(QUANTIZE):
        reason = plan.notes[0] if plan.notes else next(d.reason for d in plan.decisions if d.action == SKIP)
        raise SettingsError(f"{candidate.label}: nothing is quantized: {reason}; use other settings")
    threshold = min(d.threshold or 0 for d in plan.chosen(QUANTIZE))
    seen = tokens if chunk is None or tokens is None else min(chunk, tokens)
    if seen is not None and seen <= threshold:
        raise SettingsError(
            f"{candidate.label}: inputs of {counted(seen, 'token')} are within the threshold of {threshold}: nothing "
            "is quantized; use longer inputs (--window-tokens, --chunk-tokens), or threshold=0"
        )


def planned(candidate: Candidate, ir: IrFile, device: str = "CPU") -> Plan | None:
    """The plan that the candidate's model is changed by, emulated if it is one for a plugin; None to leave it as it is.

    Raises:
        OvpassError: for a model, setting or plan that does not fit.
    """
    recorded = recorded_plan(ir.document().metadata)
    if recorded is not None:
        return _recorded(candidate, ir, recorded, device)
    if not candidate.changed:
        return None
    (loaded,) = load(ModelSource(ir.xml, (ir,)))
    return planned_for(candidate, loaded)


def planned_for(candidate: Candidate, loaded: Loaded) -> Plan:
    """`planned` for a model that is read already and that carries no plan."""
    if candidate.plan is not None:
        plan = load_plans(candidate.plan).get(loaded.key) or Plan.load(candidate.plan)
        check_plan(plan, loaded.sites)
    else:
        plan = plan_loaded([loaded], candidate.settings or Settings())[loaded.key]
    if _by_plugin(plan) and candidate.profile is not None:
        return emulated(plan, loaded.sites)
    return plan


def _recorded(candidate: Candidate, ir: IrFile, plan: Plan, device: str) -> Plan | None:
    """How to evaluate a model that carries `plan`: as it is if this device runs the plan, else emulated."""
    others = candidate.settings is not None and candidate.settings != Settings(target=candidate.settings.target)
    if candidate.plan is not None or others:
        raise SettingsError(
            f"{candidate.label}: already has a plan; evaluate it as it is, or with profile=..., or undo the plan "
            "first with 'ovpass strip'"
        )
    target = plan.settings.target if candidate.settings is None else candidate.settings.target
    here = quantizes_here(get_target(target), device, {**CLEAN, **candidate.properties})
    if not _by_plugin(plan) or GROUP_SIZE in candidate.properties or not _can_be_stripped(plan):
        return None
    if candidate.settings is None and here:
        return None
    from ovpass.sites import find_compressed_matmuls  # noqa: PLC0415 - models in memory import OpenVINO
    from ovpass.transformation.in_memory import strip  # noqa: PLC0415

    original = strip(ir.read())
    if target != plan.settings.target:
        plan = make_plan(original, replace(plan.settings, target=target))
    return emulated(plan, find_compressed_matmuls(original))


def _applied(ir: IrFile, plan: Plan, *, generates: bool) -> ov.Model:
    from ovpass.evaluation.last_token import project_last_token  # noqa: PLC0415 - these import OpenVINO
    from ovpass.transformation.in_memory import apply, strip  # noqa: PLC0415

    model = ir.read()
    original = model if read_note(ir.document().metadata) is None else strip(model)
    return apply(project_last_token(original) if generates else original, plan)


def _with_cache(model: ov.Model, formats: Mapping[str, CacheFormat]) -> ov.Model:
    """A copy that reads its KV cache as from these formats."""
    from ovpass.passes import EmulateKvCache, PassManager  # noqa: PLC0415

    emulation = EmulateKvCache(formats.get("kv_key"), formats.get("kv_value"))
    return PassManager([emulation]).run(model).model


def _by_plugin(plan: Plan) -> bool:
    return evidence_of(plan) is Evidence.PLUGIN


def _can_be_stripped(plan: Plan) -> bool:
    return not any(decision.method == "requantize" or decision.restate for decision in plan.decisions)


def _threshold(plan: Plan | None) -> int:
    return max((decision.threshold or 0 for decision in plan.decisions), default=0) if plan else 0


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
