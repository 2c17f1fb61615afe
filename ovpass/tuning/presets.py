"""Accuracy budgets by name."""

from __future__ import annotations

from ovpass.errors import SettingsError
from ovpass.support.choices import check_choice

PRESETS = {"safe": 0.005, "balanced": 0.02, "fast": 0.08}
"""Largest mean KL divergence, in nats per token."""
DEFAULT = "balanced"
HELP = f"Budget by name: {', '.join(f'{name} (KL {limit:g})' for name, limit in PRESETS.items())}."


def limits_of(
    preset: str | None, max_kl: float | None, max_ppl_increase: float | None
) -> tuple[float | None, float | None]:
    """The limits of the KL divergence, in nats per token, and of the increase of perplexity, in percent.

    Raises:
        SettingsError: for an unknown preset, and for one beside limits.
    """
    if preset is None:
        return max_kl, max_ppl_increase
    check_choice("preset", preset, tuple(PRESETS))
    if max_kl is not None or max_ppl_increase is not None:
        raise SettingsError(f"--preset {preset} is a budget; leave it out, or --max-kl and --max-ppl-increase")
    return PRESETS[preset], None
