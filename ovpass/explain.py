"""Which group size each device would really use for a model, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ovpass.cpu_features import has_amx
from ovpass.errors import SettingsError
from ovpass.groups import PER_TOKEN
from ovpass.ir.metadata import Metadata
from ovpass.ir.runtime_options import GROUP_SIZE, LARGEST_GROUP_SIZE, as_group_size, read_option
from ovpass.planning.native import ModelOptions, verdict_in
from ovpass.sites import CompressedMatMul
from ovpass.targets import TARGETS, Target

_PRECISION = "INFERENCE_PRECISION_HINT"
_MODE = "EXECUTION_MODE_HINT"
_KNOWN = (GROUP_SIZE, LARGEST_GROUP_SIZE, _PRECISION, _MODE)


@dataclass(frozen=True)
class Outcome:
    """Sites of one fate: their number, effective group size (None: not quantized) and the reason."""

    count: int
    group_size: int | None
    reason: str


@dataclass(frozen=True)
class Explanation:
    """One device's answer. `steps` say in order where the group size comes from and what overrules it."""

    target: str
    title: str
    group_size: int
    source: str
    steps: tuple[str, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def quantized(self) -> int:
        """How many sites the device would quantize activations for."""
        return sum(outcome.count for outcome in self.outcomes if outcome.group_size is not None)


def explain(
    metadata: Metadata, sites: Sequence[CompressedMatMul], target: Target, properties: Mapping[str, str]
) -> Explanation:
    """Follow the group size from compile property, IR and default to each site.

    Raises:
        SettingsError: for a property or IR option whose value the plugin would refuse.
    """
    steps: list[str] = []
    group_size, source = _requested(metadata, target, properties, steps)
    steps += [f"{name} has no bearing on dynamic quantization" for name in properties if name not in _KNOWN]
    limit = _limit(metadata, target, properties)
    off = _switched_off(target, properties)
    if off:
        steps.append(off)
    fates: Counter[tuple[int | None, str]] = Counter()
    for site in sites:
        verdict = verdict_in(target, site, group_size, ModelOptions(largest_group_size=limit))
        fates[(None, off) if off else (verdict.group_size, verdict.reason)] += 1
    outcomes = tuple(Outcome(count, size, reason) for (size, reason), count in fates.most_common())
    return Explanation(target.name, target.title, group_size, source, tuple(steps), outcomes)


def _requested(metadata: Metadata, target: Target, properties: Mapping[str, str], steps: list[str]) -> tuple[int, str]:
    in_ir = read_option(metadata, GROUP_SIZE)
    if GROUP_SIZE in properties:
        if in_ir is not None:
            steps.append(f"the compile property overrules the IR, which says {in_ir}")
        return _number(GROUP_SIZE, properties[GROUP_SIZE], "the compile property"), "compile property"
    if target.name == "cpu" and _accuracy(properties):
        if in_ir is not None:
            _number(GROUP_SIZE, in_ir, "the IR")
            steps.append(f"{_MODE}=ACCURACY overrules the IR, which says {in_ir} (measured)")
        return 0, f"{_MODE}=ACCURACY"
    if in_ir is not None:
        return _number(GROUP_SIZE, in_ir, "the IR"), "IR (rt_info/runtime_options)"
    return target.default_group_size, f"default of {target.name}"


def _accuracy(properties: Mapping[str, str]) -> bool:
    return properties.get(_MODE, "").upper() == "ACCURACY"


def _limit(metadata: Metadata, target: Target, properties: Mapping[str, str]) -> int | None:
    if target.name == "cpu":
        return None
    text = properties.get(LARGEST_GROUP_SIZE, read_option(metadata, LARGEST_GROUP_SIZE))
    return None if text is None else _number(LARGEST_GROUP_SIZE, text, "the setting")


def _number(name: str, text: str, where: str) -> int:
    number = as_group_size(text)
    if number is None:
        raise SettingsError(
            f"{name}={text!r} in {where} is no group size; compile_model would throw. Write a number, 0 for off, "
            f"{PER_TOKEN} for per-token"
        )
    return number


def _switched_off(target: Target, properties: Mapping[str, str]) -> str:
    """Why the compute precision rules quantization out, or nothing."""
    precision = properties.get(_PRECISION, "").lower()
    accuracy = _accuracy(properties)
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
        raise SettingsError(f"device {device!r} is unknown; it is CPU, GPU, or one of {', '.join(TARGETS)}")
    return [TARGETS[target] for target in by_device[name]]
