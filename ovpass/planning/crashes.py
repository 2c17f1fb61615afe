"""Sites of a native plan that end the plugin's process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovpass.errors import SettingsError
from ovpass.planning.plan import QUANTIZE, Decision
from ovpass.sites import CompressedMatMul
from ovpass.targets import Target

_WAY_OUT = "take per-token, or exempt them"


def crashing_sites(
    sites: Sequence[CompressedMatMul], decisions: Sequence[Decision], target: Target
) -> Mapping[str, str]:
    """Return by name the quantized sites that end the plugin's process, with the reason."""
    by_name = {site.name: site for site in sites}
    found = {}
    for decision in decisions:
        # Weights that are rewritten for a smaller group are not the ones that the rule is about.
        if decision.action == QUANTIZE and decision.method is None and decision.name in by_name:
            reason = target.crash(by_name[decision.name], decision.group_size or 0)
            if reason is not None:
                found[decision.name] = reason
    return found


def describe_crashes(crashing: Mapping[str, str]) -> str:
    """The sites in a sentence, with a way out."""
    name, reason = next(iter(crashing.items()))
    return f"{len(crashing)} of the sites crash the plugin, {name} for one: {reason}; {_WAY_OUT}"


def refuse_crashes(sites: Sequence[CompressedMatMul], decisions: Sequence[Decision], target: Target) -> None:
    """Make sure that no site ends the plugin's process.

    Raises:
        SettingsError: if one does.
    """
    crashing = crashing_sites(sites, decisions, target)
    if crashing:
        raise SettingsError(f"{describe_crashes(crashing)}, or allow it with --allow-crash")
