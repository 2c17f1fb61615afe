"""Refuse results of settings that had no effect."""

from __future__ import annotations

from ovpass.errors import ModelError, SettingsError
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.preparation import CLEAN, Prepared
from ovpass.planning.plan import QUANTIZE


def require_change(candidate: Candidate, prepared: Prepared, longest: int, device: str, *, changed: bool) -> None:
    """Refuse a result in which no setting had an effect: a divergence of zero would say that it is free.

    `longest` is the length of the longest window, in tokens; `changed` tells whether a prediction has changed.

    Raises:
        SettingsError: if a compressed KV cache is not read, because each window is a single chunk.
        ModelError: if nothing has changed.
    """
    asked = {name: value for name, value in prepared.properties.items() if CLEAN.get(name, value) != value}
    cache = prepared.cache
    if not (asked or cache or (prepared.plan and prepared.plan.chosen(QUANTIZE))):
        return
    # A model with an emulated cache adds up in another order, so that it differs in any case.
    doubtful = not changed or prepared.emulates_cache
    if doubtful and cache and prepared.chunk is not None and prepared.chunk >= longest:
        raise SettingsError(
            f"{candidate.label}: windows of {longest} tokens fit in one chunk of {prepared.chunk}, so the "
            "KV cache is not read; use longer windows (--window-tokens) or smaller chunks (--chunk-tokens)"
        )
    if not changed:
        what = ", ".join(f"{name}={value}" for name, value in {**asked, **cache}.items()) or "the plan"
        raise ModelError(
            f"{candidate.label}: {what} changed no prediction on {device}, so its cost cannot be measured "
            "there: the plugin ignores it for this model ('ovpass explain' says why); name a profile to emulate it"
        )
