"""Explain the effective group size of a model on each device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ovpass.errors import SettingsError
from ovpass.ir.metadata import Metadata
from ovpass.ir.runtime_options import GROUP_SIZE, LARGEST_GROUP_SIZE
from ovpass.planning.native import ModelOptions, verdict_in
from ovpass.sites import CompressedMatMul
from ovpass.support.choices import near_choice
from ovpass.support.cpu_features import has_amx
from ovpass.targets import TARGETS, Target
from ovpass.targets.effective_options import MODE, InForce, Surroundings, keeps_cache, options_in_force
from ovpass.targets.runtime_options import OPTIONS

_PRECISION = "INFERENCE_PRECISION_HINT"


@dataclass(frozen=True)
class Outcome:
    """Sites of one fate: their number, effective group size (None: not quantized) and the reason."""

    count: int
    group_size: int | None
    reason: str


@dataclass(frozen=True)
class Explanation:
    """One device's answer.

    `steps` say in order where the group size comes from and what overrules it; `options` are the other runtime
    options that the device knows.
    """

    target: str
    title: str
    group_size: int
    source: str
    steps: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    options: tuple[InForce, ...] = ()

    @property
    def quantized(self) -> int:
        """How many sites the device would quantize activations for."""
        return sum(outcome.count for outcome in self.outcomes if outcome.group_size is not None)


def explain(
    metadata: Metadata,
    sites: Sequence[CompressedMatMul],
    target: Target,
    properties: Mapping[str, str],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Explanation:
    """Follow runtime options from environment, compile property, IR and default to each site.

    Raises:
        SettingsError: for a value that the plugin would refuse.
    """
    around = Surroundings(metadata, keeps_cache(sites), properties, environment)
    options = options_in_force(target.name, around)
    values = {option.name: option.value for option in options}
    asked = next(option for option in options if option.name == GROUP_SIZE)
    group_size = int(asked.value)
    limit = int(values[LARGEST_GROUP_SIZE]) if LARGEST_GROUP_SIZE in values else None
    steps = [*asked.steps, *_other_properties(target, properties)]
    off = _switched_off(target, around)
    if off:
        steps.append(off)
    fates: Counter[tuple[int | None, str]] = Counter()
    for site in sites:
        verdict = verdict_in(target, site, group_size, ModelOptions(largest_group_size=limit))
        fates[(None, off) if off else (verdict.group_size, verdict.reason)] += 1
    outcomes = tuple(Outcome(count, size, reason) for (size, reason), count in fates.most_common())
    others = tuple(option for option in options if option is not asked)
    return Explanation(target.name, target.title, group_size, asked.source, tuple(steps), outcomes, others)


def _other_properties(target: Target, properties: Mapping[str, str]) -> list[str]:
    """What there is to say of properties that are no option of the target's."""
    steps = []
    for name in properties:
        option = OPTIONS.get(name)
        if option is None and name not in (_PRECISION, MODE):
            steps.append(f"{name} has no bearing on dynamic quantization")
        elif option is not None and not (target.name in option.targets and option.targets[target.name].as_property):
            steps.append(f"{name} is no property of {target.name}: compile_model throws")
    return steps


def _switched_off(target: Target, around: Surroundings) -> str:
    """Why the compute precision rules quantization out, or nothing."""
    precision = around.properties.get(_PRECISION, "").lower()
    accuracy = around.accuracy
    if target.name == "cpu":
        # ACCURACY alone leaves the CPU's precision "dynamic", where it does not quantize either (measured).
        precision = precision or ("dynamic precision" if accuracy else _default_cpu_precision())
        if precision != "f32" and has_amx():  # without AMX it quantizes in bf16 as well (measured)
            return f"this CPU would compute in {precision}, where it does not quantize; set {_PRECISION}=f32"
        return ""
    if precision == "f32" or accuracy:
        return "compute in f32 switches it off"
    return ""


def _default_cpu_precision() -> str:
    """What the CPU plugin computes in on this machine when it is not told."""
    import openvino as ov  # noqa: PLC0415 - only this question needs it

    try:
        return str(ov.Core().get_property("CPU", _PRECISION).to_string())
    except RuntimeError:
        return "f32"


def targets_of(device: str | None) -> list[Target]:
    """The targets that a device name stands for: CPU, GPU (with and without XMX), a target's own name, or all.

    Raises:
        SettingsError: for any other name.
    """
    if device is None:
        return list(TARGETS.values())
    by_device = {**{name: [name] for name in TARGETS}, "gpu": ["gpu-xmx", "gpu"]}
    name = device.lower()
    if name not in by_device and name.startswith("gpu."):
        name = "gpu"
    if name not in by_device:
        near = near_choice(name, by_device)
        hint = f"; did you mean {near}?" if near else ""
        raise SettingsError(f"device {device!r} is unknown; it is CPU, GPU, or one of {', '.join(TARGETS)}{hint}")
    return [TARGETS[target] for target in by_device[name]]
