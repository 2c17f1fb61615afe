"""Measure what a stored KV cache costs: texts are fed in chunks, so that the model reads what it has stored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ovpass.errors import ModelError, SettingsError
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.comparison import TokenScores, compare_logits
from ovpass.evaluation.kv_cache import chunk_tokens
from ovpass.evaluation.preparation import prepare, prepare_clean
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.windows import Window
from ovpass.planning.plan import QUANTIZE, Plan
from ovpass.settings.settings import Settings, settings_to_dict
from ovpass.support.store import Store
from ovpass.targets.names import get_target
from ovpass.tuning.budget import Budget, Spent
from ovpass.tuning.decisions import Decisions
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.kv_candidates import CacheKind
from ovpass.tuning.sequential import LOOKS, Sums, digest

DEVICE = "CPU"


@dataclass
class CacheRunner:
    """Runs candidates of an experiment's model in chunks of `chunk` tokens, against its own weights in f32."""

    experiment: Experiment
    chunk: int
    _current: tuple[str, Runner] | None = None
    _decisions: Decisions = field(init=False)

    def __post_init__(self) -> None:
        check_chunk(longest_window(self.experiment), self.chunk)
        self._decisions = Decisions(self.experiment.looks)

    def decided(self, candidate: Candidate, budget: Budget, text: str) -> Spent:
        """What a candidate costs on "search" or "held out" text, on more of it until it is decided.

        Raises:
            ModelError: if the candidate predicts the same as the exact model.
        """

        def measured(windows: Sequence[Window], before: int) -> Sums:
            return self.sums(candidate, windows, f"{text}: {candidate.label}, after {before} tokens")

        # There are few candidates, and they differ by far: none is given up before all text has been read.
        return self._decisions.spent(text, budget, measured, patience=LOOKS)

    def sums(self, candidate: Candidate, windows: Sequence[Window], step: str) -> Sums:
        """The sums over these windows; what was measured before is read."""
        key = digest(f"{candidate.label} in chunks of {self.chunk}", windows)
        known = self._store.get(key, Sums)
        if known is None:
            self.experiment.progress(step)
            known = Sums.of([self._scores(candidate, window) for window in windows])
            self._store.put(key, known)
        return known

    def _scores(self, candidate: Candidate, window: Window) -> TokenScores:
        exact = self._exact.logits(window).copy()
        scores = compare_logits(exact, self._runner(candidate).logits(window), window)
        if np.array_equal(scores.nll, scores.reference_nll):
            raise ModelError(f"{candidate.label}: changed no prediction on {DEVICE}, so its cost cannot be measured")
        return scores

    def _runner(self, candidate: Candidate) -> Runner:
        if self._current is None or self._current[0] != candidate.label:
            self._current = candidate.label, Runner(prepare(candidate, DEVICE, self.chunk), candidate.label, DEVICE)
        return self._current[1]

    @cached_property
    def _exact(self) -> Runner:
        clean = prepare_clean(Candidate(str(self.experiment.model), self.experiment.model), self.chunk)
        assert clean is not None, "an experiment's model carries no plan"
        return Runner(clean, str(self.experiment.ir.xml), DEVICE)

    @cached_property
    def _store(self) -> Store:
        return self.experiment.store("kv cache", {})


def longest_window(experiment: Experiment) -> int:
    """Tokens of the longest window."""
    return max(len(window.ids) for window in experiment.windows)


def check_chunk(longest: int, chunk: int) -> None:
    """Make sure that the longest window, in tokens, is longer than a chunk.

    Raises:
        SettingsError: if it is not, with the length to use.
    """
    if chunk >= longest:
        raise SettingsError(
            f"--kv: windows of {longest} tokens fit in one chunk of {chunk}, so that no KV cache is read; "
            f"use --window-tokens {2 * chunk}"
        )


def cache_candidate(experiment: Experiment, kind: CacheKind) -> Candidate:
    """The model with keys and values stored like that: by the plugin here if it is the target's, else emulated."""
    target = get_target(experiment.settings.target)
    if kind.options is not None and target.device == DEVICE:
        return Candidate(f"KV cache with {kind}", experiment.model, properties=kind.options)
    return Candidate(f"emulated KV cache with {kind}", experiment.model, cache=kind.emulated)


def plan_candidate(experiment: Experiment, settings: Settings) -> Candidate:
    """The model as a plan of these settings runs it, its KV cache included."""
    digest = hashlib.sha256(json.dumps(settings_to_dict(settings)).encode()).hexdigest()
    label = f"plan {digest[:12]} with its KV cache"
    return Candidate(label, experiment.model, settings, profile=settings.target)


def chunk_for(plan: Plan | None = None) -> int:
    """Tokens of a chunk: more than those up to which a plan's activations are not quantized."""
    decisions = () if plan is None else plan.chosen(QUANTIZE)
    return chunk_above(max((decision.threshold or 0 for decision in decisions), default=0))


def chunk_above(threshold: int) -> int:
    """Tokens of a chunk where up to `threshold` tokens are not quantized."""
    return chunk_tokens(None, {"": ""}, threshold) or 0
