"""Explain the effective group size of a model on each device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ovpass.ir.metadata import Metadata
from ovpass.ir.runtime_options import GROUP_SIZE, LARGEST_GROUP_SIZE
from ovpass.planning.native import ModelOptions, verdict_in
from ovpass.sites import CompressedMatMul
from ovpass.targets import TARGETS, Target
from ovpass.targets.effective_options import (
    MODE,
    InForce,
    Surroundings,
    describe_cache,
    keeps_cache,
    options_in_force,
)
from ovpass.targets.names import find_device
from ovpass.targets.runtime_options import OPTIONS, THRESHOLD

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
    options that the device knows. `threshold` is the number of tokens up to which nothing is quantized, `cache` how
    keys and values are kept, None of a model without a KV cache.
    """

    target: str
    title: str
    group_size: int
    source: str
    steps: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    options: tuple[InForce, ...] = ()
    threshold: int = 0
    cache: str | None = None

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
    options = options_in_force(target, around)
    values = {option.name: option.value for option in options}
    requested = next(option for option in options if option.name == GROUP_SIZE)
    group_size = int(requested.value)
    limit = int(values[LARGEST_GROUP_SIZE]) if LARGEST_GROUP_SIZE in values else None
    steps = [*requested.steps, *_other_properties(target, properties)]
    off = target.switched_off(properties.get(_PRECISION, "").lower(), around.accuracy)
    if off:
        steps.append(off)
    fates: Counter[tuple[int | None, str]] = Counter()
    for site in sites:
        verdict = verdict_in(target, site, group_size, ModelOptions(largest_group_size=limit))
        fates[(None, off) if off else (verdict.group_size, verdict.reason)] += 1
    outcomes = tuple(Outcome(count, size, reason) for (size, reason), count in fates.most_common())
    others = tuple(option for option in options if option is not requested)
    return Explanation(
        target.name,
        target.title,
        group_size,
        requested.source,
        tuple(steps),
        outcomes,
        others,
        int(values.get(THRESHOLD, target.default_threshold)),
        describe_cache(values) if around.keeps_cache else None,
    )


def _other_properties(target: Target, properties: Mapping[str, str]) -> list[str]:
    """What there is to say of properties that are no option of the target's."""
    steps = []
    for name in properties:
        option = OPTIONS.get(name)
        if option is None and name not in (_PRECISION, MODE):
            steps.append(f"{name} does not affect dynamic quantization")
        elif option is not None and not (name in target.options and target.options[name].as_property):
            steps.append(f"{target.name} has no property {name}: compile_model throws")
    return steps


def targets_of(device: str | None) -> list[Target]:
    """The targets that a device stands for: OpenVINO's CPU or GPU, a target's or device's own name, or all.

    Raises:
        SettingsError: for any other name.
    """
    if device is None:
        return list(TARGETS.values())
    openvino = device.upper().partition(".")[0]
    of_device = [target for target in TARGETS.values() if target.device == openvino]
    return of_device or [find_device(device).target]
