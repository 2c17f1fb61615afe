"""Did it happen? Ask the plugin, site by site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ovpass.errors import NoDeviceError, SettingsError, VerifyError
from ovpass.groups import PER_TOKEN
from ovpass.ir.files import open_source
from ovpass.ir.note import read_note
from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.plan import SKIP, Plan, plan_from_dict
from ovpass.planning import plan_sites
from ovpass.rewrite import Loaded, load
from ovpass.settings import Settings
from ovpass.verification.gpu_process import run_in_child
from ovpass.verification.observation import Order, Seen
from ovpass.verification.report import Report, SiteCheck, compare, runs_summary
from ovpass.verification.simulated_gpu import NOT_COVERED, SimulatedGpu, get_profile

CPU, GPU = "CPU", "GPU"
_SHOWN = 300
_INSIDE_THE_KERNEL = "without XMX the kernel itself quantizes, and nothing in the compiled model tells for which sites"


@dataclass(frozen=True)
class Question:
    """What to ask: the device, a simulated one by name, properties for compile_model, and numbers of tokens."""

    device: str = GPU
    simulate: str | None = None
    properties: Mapping[str, str] | None = None
    tokens: Sequence[int] = ()
    find_threshold: bool = False
    timeout: float = 900.0

    def __post_init__(self) -> None:
        if self.device not in (CPU, GPU):
            raise SettingsError(f"device {self.device!r} is unknown; it is CPU or GPU")
        if self.simulate is not None:
            get_profile(self.simulate)
            if self.device != GPU:
                raise SettingsError("only a GPU is simulated; the CPU is there")
        if any(number < 1 for number in self.tokens):
            raise SettingsError(f"tokens {list(self.tokens)}: a number of tokens is 1 or more")

    @property
    def target(self) -> str:
        """The target whose rules the device should follow."""
        if self.device == CPU:
            return "cpu"
        return get_profile(self.simulate).target if self.simulate else "gpu-xmx"


def verify(
    source: Path | str, question: Question | None = None, plans: Mapping[str, Plan] | None = None
) -> dict[str, Report]:
    """Compile each model of `source` that has sites, and compare with its plan.

    The plan is the one given, else the one noted in the model by `apply`, else what the device's target makes of the
    model as it is. Reports are by model, under "" where there is one.

    Raises:
        OvpassError: its children for a bad model, setting or plan, and a device that cannot be asked.
    """
    question = question or Question()
    reports = {}
    for loaded in load(open_source(source)):
        plan = _plan(loaded, question, plans)
        properties = {**plan.run_properties, **(question.properties or {})}
        ask = _ask_cpu if question.device == CPU else _ask_gpu
        reports[loaded.key] = ask(loaded, plan, replace(question, properties=properties))
    return reports


def _plan(loaded: Loaded, question: Question, plans: Mapping[str, Plan] | None) -> Plan:
    if plans is not None:
        if loaded.key not in plans:
            raise SettingsError(f"the plan has nothing for {loaded.key}; it is for {sorted(plans)}")
        return plans[loaded.key]
    note = read_note(loaded.document.metadata)
    if note is not None and "plan" in note:
        return plan_from_dict(note["plan"])
    asked = (question.properties or {}).get(GROUP_SIZE)
    settings = Settings(target=question.target, group_size=int(asked) if asked and asked != "0" else None)
    return plan_sites(loaded.sites, settings, loaded.document.metadata)


def _ask_cpu(loaded: Loaded, plan: Plan, question: Question) -> Report:
    from ovpass.sites import find_compressed_matmuls  # noqa: PLC0415
    from ovpass.verification.cpu import found_on_cpu  # noqa: PLC0415 - brings OpenVINO along

    if plan.settings.lowering != "native":
        raise VerifyError(
            f"{loaded.ir.xml}: only native plans are proved by numbers; this one is {plan.settings.lowering}"
        )
    planned = {decision.name: decision.group_size for decision in plan.decisions}
    properties = dict(question.properties or {})
    properties.setdefault(GROUP_SIZE, str(plan.model_group_size))
    found = found_on_cpu(find_compressed_matmuls(loaded.ir.read()), properties, planned)
    checks = compare(plan, found)
    return Report(CPU, None, tuple(checks), 0, notes=_silently_off(plan, checks, properties[GROUP_SIZE]))


def _silently_off(plan: Plan, checks: Sequence[SiteCheck], asked: str) -> tuple[str, ...]:
    """The plugin reports the group size it was asked for, whether it uses it or not."""
    unquantized = {check.name for check in checks if check.found is None}
    reasons = Counter(d.reason for d in plan.decisions if d.name in unquantized and d.action == SKIP)
    return tuple(
        f"{count} sites are not quantized though the property says {asked}: {reason}"
        for reason, count in reasons.items()
    )


def _ask_gpu(loaded: Loaded, plan: Plan, question: Question) -> Report:
    order = Order(
        str(loaded.ir.xml.resolve()),
        {key: value for key, value in (question.properties or {}).items() if key != "INFERENCE_PRECISION_HINT"}
        if plan.settings.target == "cpu"
        else dict(question.properties or {}),
        tuple(question.tokens),
        question.find_threshold,
    )
    seen = _look(order, plan, question)
    if seen.error is not None:
        raise VerifyError(f"{loaded.ir.xml}: does not compile on {GPU}: {_shortened(seen.error)}")
    notes = (f"the device is simulated ({question.simulate}): {NOT_COVERED}",) if question.simulate else ()
    if question.target == "gpu":
        inside = f"it compiles with group size {seen.group_size_property}; {_INSIDE_THE_KERNEL}"
        return Report(GPU, question.simulate, (), 0, notes=(*notes, inside))
    checks = compare(_as_seen(plan), _groups(seen, plan))
    runs = runs_summary([(run.tokens, run.executed) for run in seen.runs])
    return Report(GPU, question.simulate, tuple(checks), seen.quantizers, runs, seen.threshold, notes)


def _look(order: Order, plan: Plan, question: Question) -> Seen:
    if question.simulate:
        return SimulatedGpu(question.simulate, question.timeout).look([order], plan.run_environment)[0]
    seen = run_in_child([order], plan.run_environment, question.timeout)
    if seen is None:
        raise NoDeviceError("there is no GPU that OpenVINO can use; --simulate arc-a770 asks the plugin without one")
    return seen[0]


def _as_seen(plan: Plan) -> Plan:
    """What the plugin should show: no quantizer of its own where the graph quantizes already."""
    if plan.settings.lowering != "emulate":
        return plan
    skipped = (replace(decision, action="skip", group_size=None) for decision in plan.decisions)
    return replace(plan, decisions=tuple(skipped))


def _groups(seen: Seen, plan: Plan) -> dict[str, int | None]:
    """The group sizes by MatMul; an i8 activation without a quantizer is the int8 lowering's own, per token."""
    groups = dict(seen.groups)
    if plan.settings.lowering == "int8":
        for matmul in seen.matmuls:
            if matmul.quantizer is None and matmul.activation_type == "i8":
                groups.update(dict.fromkeys(matmul.names, PER_TOKEN))
    return groups


def _shortened(error: str) -> str:
    """The plugin's own words, without the places in its sources."""
    lines = [
        line.strip() for line in error.splitlines() if line.strip() and not line.startswith(("Exception", "Check"))
    ]
    return (lines[-1] if lines else error)[:_SHOWN]
