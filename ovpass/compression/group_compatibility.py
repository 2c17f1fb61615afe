"""Check that weight group size and activation group size fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ovpass.compression.advice import WEIGHT_GROUPS
from ovpass.errors import SettingsError
from ovpass.planning.resolve import check_rules, resolve
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.targets import Target
from ovpass.targets.fitting import GROUPS
from ovpass.targets.group_sizes import format_group_size
from ovpass.targets.names import get_target


@dataclass(frozen=True)
class _Asked:
    """A site that no rule exempts, and the group size that it is to have; `fixed` by a rule."""

    site: CompressedMatMul
    group_size: int
    fixed: bool

    def served(self, target: Target) -> bool:
        """Whether the target quantizes in just this group size."""
        return target.verdict(self.site, self.group_size).group_size == self.group_size

    def with_weights(self, group: int) -> _Asked:
        """The same site, had its weights groups of that size; unchanged where they have none or cannot."""
        if self.site.weight_group_size is None or self.site.k % group:
            return self
        zero_points = None if self.site.zero_point_group_size is None else group
        return replace(self, site=replace(self.site, weight_group_size=group, zero_point_group_size=zero_points))

    def with_activations(self, group_size: int) -> _Asked:
        """The same site, were it to have that group size."""
        return self if self.fixed else replace(self, group_size=group_size)


def refuse_idle(sites: Sequence[CompressedMatMul], settings: Settings) -> None:
    """Make sure that native settings quantize some of the sites, and that every rule picks one.

    Raises:
        SettingsError: if they do not, with group sizes that do.
    """
    check_rules(sites, settings)
    if settings.lowering != "native":
        return
    target, requested = get_target(settings.target), _requested(sites, settings)
    verdicts = [target.verdict(item.site, item.group_size) for item in requested]
    if verdicts and not any(verdict.eligible for verdict in verdicts):
        reason = Counter(verdict.reason for verdict in verdicts).most_common(1)[0][0]
        ways = "; ".join(_ways(requested, target)) or "lowering emulate supports any"
        raise SettingsError(
            f"activation-group-size {_words(requested)}: {target.name} quantizes none of {len(requested)} sites: "
            f"{reason}; {ways}"
        )


def note_on_groups(sites: Sequence[CompressedMatMul], settings: Settings) -> list[str]:
    """Which group sizes would let more of the sites have the activation groups asked for."""
    if settings.lowering != "native":
        return []
    target, requested = get_target(settings.target), _requested(sites, settings)
    served = _count(requested, target)
    ways = _ways(requested, target) if served < len(requested) else []
    if not ways:
        return []
    now = f"activation-group-size {_words(requested)}: {served} of {len(requested)} sites get it on {target.name}"
    return [f"{now}; {'; '.join(ways)}"]


def _requested(sites: Sequence[CompressedMatMul], settings: Settings) -> list[_Asked]:
    usual = settings.group_size or get_target(settings.target).default_group_size
    found = []
    for item in resolve(sites, settings):
        own = None if item.rule is None else item.rule.group_size
        if not item.exempt:
            found.append(_Asked(item.site, own or usual, own is not None))
    return found


def _words(requested: Sequence[_Asked]) -> str:
    return " or ".join(str(format_group_size(size)) for size in dict.fromkeys(item.group_size for item in requested))


def _count(requested: Sequence[_Asked], target: Target) -> int:
    return sum(item.served(target) for item in requested)


def _ways(requested: Sequence[_Asked], target: Target) -> list[str]:
    """The groups of weights and of activations that serve the most sites, if more than now; of several the nearest."""
    now, total, wanted = _count(requested, target), len(requested), max(item.group_size for item in requested)
    weights = {size: _count([item.with_weights(size) for item in requested], target) for size in WEIGHT_GROUPS}
    activations = {size: _count([item.with_activations(size) for item in requested], target) for size in GROUPS}
    found = []
    for what, counts in (("group-size {} for the weights", weights), ("activation-group-size {}", activations)):
        most, _, size = max((count, -abs(size - wanted), size) for size, count in counts.items())
        if most > now:
            found.append(f"{what.format(format_group_size(size))} works for {most} of {total}")
    return found
