"""The interface of a target: does this device quantize this site's activation, how, and if not, why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.sites import CompressedMatMul
from ovpass.targets.costs import Chosen
from ovpass.targets.kv_storage import KvStorage
from ovpass.targets.runtime_options import KV_CACHE, Obedience

NOT_COMPILED = "not-compiled"
"""The refusal of a site on which compilation fails unless the plugin quantizes its activation."""

OpenVINODevice = str
"""A device as OpenVINO names it: CPU or GPU."""


@dataclass(frozen=True)
class Verdict:
    """The answer for one site. `group_size` is the one really used, None where there is none.

    `throws` tells that the plugin does not leave the site alone but fails.
    """

    eligible: bool
    group_size: int | None
    reason: str
    rule: str
    throws: bool = False


@dataclass(frozen=True)
class Refusal:
    """One reason why a target leaves a site alone.

    `applies` gets the site and the group size in force for it, and returns the reason or None. `source` says
    where the rule can be read or how it was measured. With `throws` the plugin does not fall back but fails.
    """

    name: str
    source: str
    applies: Callable[[CompressedMatMul, int], str | None]
    throws: bool = False


@dataclass(frozen=True)
class Adjustment:
    """One way in which the plugin makes another group size of the one asked for; the same one where it does not.

    `reason` says so of the group size that comes out, for which it has a {}.
    """

    source: str
    apply: Callable[[CompressedMatMul, int], int]
    reason: str


@dataclass(frozen=True)
class Profile:
    """A device that Intel's driver can pretend to be.

    `environment` are the driver's keys; `driver` is the oldest version that knows the device. `preview` marks devices
    that are not sold yet, whose driver still changes.
    """

    name: str
    title: str
    environment: Mapping[str, str]
    driver: tuple[int, ...]
    aliases: tuple[str, ...] = ()
    preview: bool = False


@dataclass(frozen=True)
class Target:
    """A device family as ovpass knows it: its rules in the order in which the plugin comes to them.

    `device` is the OpenVINO device, `compute` the type in which the plugin computes and in which activations are
    quantized. `adjustments` turn the group size asked for into the one the plugin uses, before the rules look at it.
    `options` are the runtime options that the device knows, by name. `switched_off` gets the compute precision asked
    for ("" where nothing is) and whether the execution mode is ACCURACY, and says why nothing is quantized then.

    `crashes` are the sites that end the plugin's process, by the group size that they get: unlike a refusal, nothing
    catches it. `slow_kernels` are the quantized sites that have no fast kernel, likewise, with the way out.

    `exemptions` are the ways to leave a site out, the least invasive first. `short_last_group` tells that a group
    size need not divide K, `fuses` that MatMuls of one activation are fused, `static_ignores_threshold` that static
    shapes are quantized for any number of tokens, `strict_ir` that an unreadable option in the IR throws even where a
    property overrules it. `unsigned_int8` and `scales_apart` are about the int8 lowering: whether it takes u8 weights,
    and whether the scales of the last products have to be kept off the way to the outputs. `smallest_range` is what the
    kernel takes the largest value of a group to be at least.

    `float_activations` are the types of weights whose activations are quantized to the same type, in floating point,
    for any number of tokens.

    `kv_storage` is what the plugin stores of keys and values, None if that is not known.

    `costs` are the times that were measured on such a device, None if there are none. `profiles` are the devices of
    the family that can be simulated, the usual one first. `older_names` are what the target was called before.
    `owns` tells of a GPU's architecture (the first number of its version) and of whether it has XMX if it belongs here.
    """

    name: str
    title: str
    device: OpenVINODevice
    compute: str
    default_threshold: int
    options: Mapping[str, Obedience]
    switched_off: Callable[[str, bool], str | None]
    refusals: tuple[Refusal, ...]
    adjustments: tuple[Adjustment, ...]
    exemptions: tuple[str, ...]
    crashes: tuple[Refusal, ...] = ()
    slow_kernels: tuple[Refusal, ...] = ()
    per_site_group_size: bool = False
    short_last_group: bool = False
    fuses: bool = False
    static_ignores_threshold: bool = False
    strict_ir: bool = False
    unsigned_int8: bool = True
    scales_apart: bool = False
    smallest_range: float = 0.003
    float_activations: tuple[str, ...] = ()
    kv_storage: KvStorage | None = None
    costs: Callable[[], Chosen] | None = None
    profiles: tuple[Profile, ...] = ()
    older_names: tuple[str, ...] = ()
    owns: Callable[[int, bool], bool] | None = None

    @property
    def default_group_size(self) -> int:
        """The group size where nobody asks for one."""
        return int(self.options[GROUP_SIZE].default)

    @property
    def kv_cache(self) -> str:
        """The type in which keys and values are kept where nobody asks for one."""
        return self.options[KV_CACHE].default

    @property
    def half(self) -> bool:
        """Whether activations are quantized in half precision."""
        return self.compute != "f32"

    def activation_type(self, site: CompressedMatMul) -> str:
        """The type to which the site's activation is quantized, if it is: i8, where it is symmetric."""
        return site.weight_type if site.weight_type in self.float_activations else "i8"

    def verdict(self, site: CompressedMatMul, group_size: int) -> Verdict:
        """Whether `site` is quantized when the model's group size is `group_size` (0: switched off)."""
        if group_size == 0:
            return Verdict(False, None, "dynamic quantization is off (group size 0)", "off")
        if site.of_integers:
            return Verdict(
                False, None, "the model's own subgraph quantizes the activation, in f32; apply rewrites it", "foreign"
            )
        effective, changes = self.adjusted(site, group_size)
        for refusal in self.refusals:
            reason = refusal.applies(site, effective)
            if reason is not None:
                return Verdict(False, None, reason, refusal.name, refusal.throws)
        granted = "; ".join(changes) or f"{site.weight_type} weights, K={site.k}"
        return Verdict(True, effective, granted, "eligible")

    def crash(self, site: CompressedMatMul, group_size: int) -> str | None:
        """Why the plugin's process ends with a site quantized in this group size, or None."""
        return _first(self.crashes, site, group_size)

    def slow_kernel(self, site: CompressedMatMul, group_size: int) -> str | None:
        """Why a site quantized in this group size runs on a reference kernel, and what to do, or None."""
        return _first(self.slow_kernels, site, group_size)

    def has_rule(self, name: str) -> bool:
        """Whether there is a refusal of that name."""
        return any(refusal.name == name for refusal in self.refusals)

    def compiles_only_quantized(self, site: CompressedMatMul) -> bool:
        """Whether compilation fails on the site where the plugin's own quantization is switched off."""
        return any(refusal.name == NOT_COMPILED and refusal.applies(site, 0) for refusal in self.refusals)

    def adjusted(self, site: CompressedMatMul, group_size: int) -> tuple[int, list[str]]:
        """The group size that the plugin makes of the one asked for, and why it is another."""
        reasons = []
        for adjustment in self.adjustments:
            before, group_size = group_size, adjustment.apply(site, group_size)
            if group_size != before:
                reasons.append(adjustment.reason.format(group_size))
        return group_size, reasons


def _first(rules: Sequence[Refusal], site: CompressedMatMul, group_size: int) -> str | None:
    return next((reason for rule in rules if (reason := rule.applies(site, group_size)) is not None), None)
