"""Verify a model: compare the plugin's result with the plan, site by site."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ovpass.errors import NoDeviceError, PlanError, SettingsError, VerifyError
from ovpass.ir.document import IrDocument
from ovpass.ir.files import IrFile, open_source
from ovpass.ir.runtime_options import GROUP_SIZE, as_group_size, read_group_size
from ovpass.kernels.opencl import CONFIG_FILE, write_gpu_kernels
from ovpass.lowerings import Evidence, get_lowering
from ovpass.lowerings.planner import plan_sites
from ovpass.planning.crashes import crashing_sites, describe_crashes
from ovpass.planning.plan import QUANTIZE, REPLACE, SKIP, Plan
from ovpass.planning.recorded_plan import ops_of, recorded_plan, runs_kernels
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.support.formatting import counted
from ovpass.support.processes import check_timeout
from ovpass.targets import CPU as RULES
from ovpass.targets import Target
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.names import find_device, get_profile, get_target
from ovpass.transformation.loading import Loaded, load
from ovpass.verification.gpu_process import run_in_child
from ovpass.verification.observation import TRACING, Observation, Order
from ovpass.verification.reference_kernels import reference_kernels
from ovpass.verification.refusals import refusal
from ovpass.verification.report import KERNEL, OTHERWISE, Report, SiteCheck, compare, runs_summary
from ovpass.verification.simulated_gpu import NOT_COVERED, SimulatedGpu
from ovpass.verification.threshold import LARGEST

CPU, GPU = "CPU", "GPU"
_USUAL = "gpu-xmx"
_DEVICE = re.compile(rf"{CPU}|{GPU}(\.\d+)?")
_HINT = "INFERENCE_PRECISION_HINT"
_SHOWN = 5
_IN_BODIES = "in bodies of If or Loop, which the CPU plugin does not show"
_INITIALIZING = "in initializers of states, which the CPU plugin does not show"
_INDIFFERENT = "unknown: the outputs are the same quantized or not, as with all-zero weights"
_INSIDE_THE_KERNEL = "without XMX, the kernels show which sites are quantized, but not their group sizes"


@dataclass(frozen=True)
class Question:
    """Verification options: the device (CPU, GPU, or GPU.1 for one of several), or the name of a simulated device.

    A target or device name stands for the OpenVINO device that it is. `properties` are compile properties. `tokens` and
    `find_threshold` run the model with those numbers of tokens. `target` has the rules that the device should follow;
    None means those of the device that answers.
    """

    device: str = GPU
    simulate: str | None = None
    properties: Mapping[str, str] | None = None
    tokens: Sequence[int] = ()
    find_threshold: bool = False
    timeout: float = 900.0
    target: str | None = None

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            self._name_device()
        if self.simulate is not None:
            object.__setattr__(self, "simulate", get_profile(self.simulate).name)
            if self.device != GPU:
                raise SettingsError("only GPUs can be simulated; leave out simulate for the CPU")
        if any(number < 1 for number in self.tokens):
            raise SettingsError(f"tokens {list(self.tokens)}: use numbers of 1 or more")
        if self.device == CPU and (self.tokens or self.find_threshold):
            raise SettingsError("tokens and threshold are for GPUs; the CPU quantizes for any number of tokens")
        check_timeout(self.timeout)

    def _name_device(self) -> None:
        try:
            named = find_device(self.device)
        except SettingsError as error:
            raise SettingsError(f"{error}; or use {CPU}, {GPU}, or {GPU}.1 for one of several") from None
        object.__setattr__(self, "target", self.target or named.name)
        object.__setattr__(self, "device", named.target.device)


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
        return {ir.key if len(with_kernels) > 1 else "": _ask_kernels(ir, d, question) for ir, d in with_kernels}
    reports = {}
    for loaded in load(opened):
        plan = given_plan(loaded, plans) or recorded_plan(loaded.document.metadata)
        if plan is None:
            _asked_group_size(question)  # before minutes of compiling
        requested = question if plan is None else replace(question, properties=_properties(plan, question))
        reports[loaded.key] = (_ask_cpu if question.device == CPU else _ask_gpu)(loaded, plan, requested)
    return reports


def _properties(plan: Plan, question: Question) -> dict[str, str]:
    """What a plan has to be run with; that of a plan for the CPU, f32 above all, is nothing for a GPU."""
    same = get_target(plan.settings.target).device == question.device.partition(".")[0]
    return {**(plan.run_properties if same else {}), **(question.properties or {})}


def verify_for_target(model: Path, target: str) -> dict[str, Report]:
    """Ask the device that the model's plan is for; a simulated one if this machine has no GPU.

    Raises:
        OvpassError: as `verify`.
    """
    try:
        return verify(model, Question(device=target))
    except NoDeviceError:
        return verify(model, Question(simulate=target))


def given_plan(loaded: Loaded, plans: Mapping[str, Plan] | None) -> Plan | None:
    """The plan of `--plan` for a model, checked against its names; None if there is no such plan.

    Raises:
        OvpassError: if the plan is for other models.
    """
    if plans is None:
        return None
    if loaded.key not in plans:
        raise SettingsError(f"the plan has no model {loaded.key}; it has {sorted(plans)}")
    _check_names(loaded, plans[loaded.key])
    return plans[loaded.key]


def _asked_group_size(question: Question) -> int | None:
    requested = (question.properties or {}).get(GROUP_SIZE)
    size = None if requested is None else as_group_size(requested)
    if requested is not None and size is None:
        raise SettingsError(f"property {GROUP_SIZE}={requested}: is not a number")
    return size


def plan_as_is(loaded: Loaded, question: Question, target: str) -> Plan:
    """What the rules of a target make of the model as it is, with the properties asked for."""
    size = _asked_group_size(question)
    # A plan has no group size that switches everything off; the sites are then planned as if there were none.
    sites = [] if size == 0 else loaded.sites
    settings = Settings(target=target, group_size=size or None)
    return plan_sites(sites, settings, loaded.document.metadata, as_is=True)


def _check_names(loaded: Loaded, plan: Plan) -> None:
    """Weights can differ after apply, and a site left in f16 is none any more; the names stay."""
    present = {site.name for site in loaded.sites}
    missing = [d.name for d in plan.decisions if d.name not in present and d.method != "f16-weights"]
    if missing:
        raise PlanError(
            f"the plan is for another model: {loaded.ir.xml} has no {', '.join(missing[:_SHOWN])}"
            + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")
        )


def _ask_cpu(loaded: Loaded, plan: Plan | None, question: Question) -> Report:
    from ovpass.sites import find_compressed_matmuls  # noqa: PLC0415
    from ovpass.verification.cpu import found_on_cpu, int8_on_cpu  # noqa: PLC0415 - brings OpenVINO along

    if plan is None:
        # A plan of the CPU's own has to be run in f32.
        plan = plan_as_is(loaded, question, RULES.name)
        question = replace(question, properties=_properties(plan, question))
    properties, model = dict(question.properties or {}), loaded.ir.read()
    try:
        sites = find_compressed_matmuls(model)
        if evidence_of(plan) is Evidence.INT8_PRODUCT:
            found = int8_on_cpu(model, properties)
            untold = {site.name: _why_not_shown(site) for site in sites if site.name not in found}
        else:
            # The cut-out sites do not have the options of the model that they come from.
            own = read_group_size(loaded.document.metadata)
            properties.setdefault(GROUP_SIZE, str(RULES.default_group_size if own is None else own))
            likely = {decision.name: decision.group_size for decision in plan.decisions}
            found = found_on_cpu(sites, properties, likely)
            untold = {site.name: _INDIFFERENT for site in sites if site.name not in found}
    except RuntimeError as error:
        raise VerifyError(f"{loaded.ir.xml}: {refusal(str(error), CPU)}") from error
    told = replace(plan, decisions=tuple(d for d in plan.decisions if not untold.get(d.name)))
    checks = compare(as_seen(told), found)
    reasons = Counter(why for why in untold.values() if why)
    notes = [f"{counted(n, 'site is', 'sites are')} {why}" for why, n in reasons.items()]
    if evidence_of(plan) is Evidence.PLUGIN:
        notes += _silently_off(plan, checks, properties)
    return Report(CPU, None, tuple(checks), 0, notes=tuple(notes))


def _ask_kernels(ir: IrFile, document: IrDocument, question: Question) -> Report:
    """What computes the ops of the kernel lowering; other MatMuls of such a model run as by default."""
    plan = recorded_plan(document.metadata)
    replaced = ops_of(document)
    if plan is None:
        raise VerifyError(f"{ir.xml}: has ops of ovpass, but no plan of it; strip it, and apply the lowering again")
    kept = replace(plan, decisions=tuple(plan.chosen(REPLACE)))
    if question.device == CPU:
        from ovpass.verification.kernels import kernels_on_cpu  # noqa: PLC0415 - brings OpenVINO along

        found = kernels_on_cpu(ir, replaced, question.properties or {})
        return Report(CPU, None, tuple(compare(kept, found)), 0)
    with tempfile.TemporaryDirectory(prefix="ovpass-kernels-") as folder:
        config = {CONFIG_FILE: str(write_gpu_kernels(Path(folder))), **(question.properties or {})}
        order = Order(str(ir.xml.resolve()), config, tuple(question.tokens), device=question.device)
        seen = _look(order, plan.run_environment, question)
    if seen.error is not None:
        did = "does not run" if seen.compiled else "does not compile"
        raise VerifyError(f"{ir.xml}: {did} on {question.device}: {refusal(seen.error)}")
    found = {site: KERNEL for op in seen.kernels for site in replaced.get(op, ())}
    notes = (f"the device is simulated ({question.simulate}): {NOT_COVERED}",) if question.simulate else ()
    return Report(
        question.device,
        question.simulate,
        tuple(compare(kept, found)),
        seen.quantizers,
        runs_summary(seen.runs),
        notes=notes,
        device_name=seen.device_name,
        driver=seen.driver or None,
    )


def _why_not_shown(site: CompressedMatMul) -> str | None:
    """Why the CPU's runtime model leaves a MatMul out, None where it should not."""
    if site.in_body:
        return _IN_BODIES
    reached = site.graph.downstream([site.index], lambda i: site.graph.types[i] != "ReadValue")
    ends = {site.graph.types[i] for i in reached if site.graph.types[i] == "ReadValue" or not site.graph.consumers[i]}
    return _INITIALIZING if ends == {"ReadValue"} else None


def _silently_off(plan: Plan, checks: Sequence[SiteCheck], properties: Mapping[str, str]) -> list[str]:
    """The plugin reports the group size it was asked for, whether it uses it or not."""
    requested = properties[GROUP_SIZE]
    unquantized = {check.name for check in checks if check.found is None}
    reasons = Counter(d.reason for d in plan.decisions if d.name in unquantized and d.action == SKIP)
    notes = [
        f"{counted(n, 'site is', 'sites are')} not quantized though the property says {requested}: {why}"
        for why, n in reasons.items()
    ]
    if (
        len(unquantized) == len(checks)
        and plan.chosen(QUANTIZE)
        and requested != "0"
        and properties.get(_HINT) != "f32"
    ):
        notes.append(f"nothing is quantized, and {_HINT} is not f32: in bf16 a CPU with AMX ignores the group size")
    if any(check.found == OTHERWISE for check in checks):
        notes.append("'otherwise' means that the activation is quantized, but no group size explains the numbers")
    return notes


def _ask_gpu(loaded: Loaded, plan: Plan | None, question: Question) -> Report:
    traced = any(site.in_body for site in loaded.sites)
    order = Order(
        str(loaded.ir.xml.resolve()),
        dict(question.properties or {}),
        tuple(question.tokens),
        bisect=question.find_threshold,
        traced=traced,
        device=question.device,
    )
    environment = {**(plan.run_environment if plan else {}), **(TRACING if traced else {})}
    try:
        seen = _look(order, environment, question)
    except NoDeviceError:
        raise
    except VerifyError as error:
        expected = question.target or question.simulate or _USUAL
        crashing = _crashing(loaded, plan or plan_as_is(loaded, question, expected), get_target(expected))
        raise VerifyError(f"{error}{f' (known cause: {describe_crashes(crashing)})' if crashing else ''}") from error
    if seen.error is not None:
        did = "does not run" if seen.compiled else "does not compile"
        raise VerifyError(f"{loaded.ir.xml}: {did} on {question.device}: {refusal(seen.error)}")
    notes = [f"the device is simulated ({question.simulate}): {NOT_COVERED}"] if question.simulate else []
    plan = plan or plan_as_is(loaded, question, question.target or question.simulate or seen.target.name)
    notes += reference_kernels(seen, loaded.sites, plan, simulated=question.simulate is not None)
    crashing = _crashing(loaded, plan, seen.target)
    if crashing:
        notes.append(describe_crashes(crashing))
    if not seen.xmx:
        notes.append(f"it compiles with group size {seen.group_size_property}; {_INSIDE_THE_KERNEL}")
    if question.find_threshold and seen.threshold is None:
        notes.append(f"quantization did not run for 1 to {LARGEST} tokens")
    checks = compare(as_seen(plan), groups_found(seen, plan))
    return Report(
        question.device,
        question.simulate,
        tuple(checks),
        seen.quantizers,
        runs_summary(seen.runs),
        seen.threshold,
        tuple(notes),
        seen.device_name,
        seen.driver or None,
    )


def _crashing(loaded: Loaded, plan: Plan, target: Target) -> Mapping[str, str]:
    return crashing_sites(loaded.sites, plan.decisions, target) if evidence_of(plan) is Evidence.PLUGIN else {}


def _look(order: Order, environment: Mapping[str, str], question: Question) -> Observation:
    if question.simulate:
        return SimulatedGpu(question.simulate, question.timeout).look([order], environment)[0]
    seen = run_in_child([order], environment, question.timeout)
    if seen is None:
        raise NoDeviceError(
            f"OpenVINO sees no {question.device}; "
            f"--simulate {get_profile(question.target or _USUAL).name} checks without one"
        )
    return seen[0]


def evidence_of(plan: Plan) -> Evidence:
    """How a compiled model shows what was planned."""
    return get_lowering(plan.settings.lowering).evidence


def as_seen(plan: Plan) -> Plan:
    """What the plugin should show: no quantizer of its own where the graph quantizes already."""
    if evidence_of(plan) is not Evidence.NOTHING:
        return plan
    skipped = (replace(decision, action=SKIP, group_size=None) for decision in plan.decisions)
    return replace(plan, decisions=tuple(skipped))


def groups_found(seen: Observation, plan: Plan) -> dict[str, int | None]:
    """The group sizes by MatMul; an i8 activation without a quantizer is the int8 lowering's own, per token."""
    groups = dict(seen.groups)
    if not seen.xmx:
        planned = {decision.name: decision.group_size for decision in plan.chosen(QUANTIZE)}
        groups.update({name: planned.get(name, OTHERWISE) if yes else None for name, yes in seen.in_kernel.items()})
    if evidence_of(plan) is Evidence.INT8_PRODUCT:
        for matmul in seen.matmuls:
            if matmul.quantizer is None and matmul.activation_type == "i8":
                groups.update(dict.fromkeys(matmul.names, PER_TOKEN))
    return groups
