"""The result of a transformation of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovpass.passes.base import PassResult
from ovpass.planning.plan import Plan, total_counts
from ovpass.transformation.run_notes import RunNotes


@dataclass(frozen=True)
class Transformed:
    """The result of a transformation. The keys of `plans` and `results` are submodels, "" for a single model.

    `weights` is how each .bin was written: "linked", "copied", "extended" (new constants at its end) or "rewritten".
    """

    output: Path
    plans: Mapping[str, Plan] = field(default_factory=dict)
    results: Mapping[str, tuple[PassResult, ...]] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    run: RunNotes = field(default_factory=RunNotes)

    @property
    def counts(self) -> dict[str, int]:
        """Count the sites that are quantized, exempt and skipped, over all models."""
        return total_counts(self.plans.values())
