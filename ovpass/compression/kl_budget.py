"""Find the fewest bits whose predictions stay near to those of the given model.

Layers get more bits in the order of `bit_allocation.steps`, and a search finds how many steps the budget takes. Each
number of steps is measured on the whole model, put together from what was encoded before and what is new. The text is
none of the calibration's, and what is chosen by one part of it is checked on another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.compression.bit_allocation import Step, average_bits, modes_after, steps
from ovpass.compression.mixed_bits import MixedBits
from ovpass.compression.modes import VECTOR_STEPS, vector_encoding
from ovpass.errors import SettingsError
from ovpass.evaluation.comparison import TokenScores, compare_logits
from ovpass.evaluation.exact_logits import ExactLogits
from ovpass.evaluation.feeding import TokenFeed
from ovpass.evaluation.preparation import CLEAN, Prepared
from ovpass.evaluation.runner import Runner, scored_rows
from ovpass.evaluation.windows import Window
from ovpass.tuning.bisection import fewest
from ovpass.tuning.budget import Budget, Spent
from ovpass.tuning.decisions import Decisions
from ovpass.tuning.sequential import LOOKS, Sums, digest, looks

Array = npt.NDArray[Any]

SEARCH, HELD_OUT = "search", "held out"
"""The parts of the text, as `looks` calls them."""
_STEP = 0.02
"""Of all steps: how many more are taken until the budget holds on held-out text."""


@dataclass
class KlBudget:
    """A search for the fewest bits with at most `max_kl` nats a token, in the mean of `windows`.

    `given` is the model before anything was compressed. The budget holds to the upper end of an interval.
    """

    mixed: MixedBits
    given: ov.Model
    windows: Sequence[Window]
    max_kl: float
    _values: dict[int, tuple[str, dict[str, Array]]] = field(default_factory=dict)
    """Of each group the mode in which it was last, and what its weights were."""

    def modes(self) -> tuple[list[str], Spent]:
        """The mode of each group, and what the model with these costs on held-out text.

        Raises:
            SettingsError: if the most bits are too few.
        """
        most = len(self._steps)
        count = fewest(most, lambda taken: self._budget.allows(self._spent(taken, SEARCH)), self._expected)
        if count is None:
            raise self._too_few(self._spent(most, SEARCH))
        while not self._budget.allows(spent := self._spent(count, HELD_OUT)):
            if count == most:
                raise self._too_few(spent)
            count = min(most, count + max(1, round(_STEP * most)))
        return self._modes(count), spent

    @cached_property
    def _budget(self) -> Budget:
        return Budget(self.max_kl)

    @cached_property
    def _steps(self) -> list[Step]:
        return list(steps(self.mixed.layers, self.mixed.mode))

    @cached_property
    def _expected(self) -> int:
        """How many steps the budget should take if the KL is in proportion to the harm of all layers added up."""
        start = self._spent(0, SEARCH).kl
        whole = sum(each.harm for each in self.mixed.layers)
        left = accumulate((step.harm for step in self._steps), lambda rest, saved: rest - saved, initial=whole)
        enough = (taken for taken, harm in enumerate(left) if start * harm / (whole or 1.0) <= self.max_kl)
        return next(enough, len(self._steps))

    @cached_property
    def _decisions(self) -> Decisions:
        size = len(self.windows) // 2**LOOKS or 1  # of the first look: the last is at 32 times as many
        return Decisions(looks(self.windows[:size], self.windows[size:]))

    @cached_property
    def _exact(self) -> ExactLogits:
        xml = self.mixed.xml
        return ExactLogits(Runner(Prepared(self.given, CLEAN, None, "", xml.parent), str(xml)).logits)

    @cached_property
    def _feed(self) -> TokenFeed:
        return TokenFeed(self.given, str(self.mixed.xml), self.mixed.xml.parent)

    def _modes(self, count: int) -> list[str]:
        return modes_after(self._steps[:count], len(self.mixed.layers), self.mixed.mode)

    def _spent(self, count: int, text: str) -> Spent:
        """What the model costs after so many steps; held-out text is measured whole."""

        def measured(windows: Sequence[Window], tokens: int) -> Sums:
            return self._sums(count, text, windows, tokens)

        return self._decisions.spent(text, self._budget, measured, whole=text == HELD_OUT)

    def _sums(self, count: int, text: str, windows: Sequence[Window], tokens: int) -> Sums:
        """Over these windows; what was measured before is read."""
        modes, kept = self._modes(count), self.mixed.run.store.measurements
        key = digest(" ".join(modes), windows)
        known = kept.get(key, Sums)
        if known is None:
            what = f"{average_bits(self.mixed.layers, modes):.2f} bits a weight"
            values = self._decoded(modes, what)
            self.mixed.run.progress(f"measuring {what}, {text}: after {tokens} tokens")
            known = Sums.of([self._scores(window, values) for window in windows])
            kept.put(key, known)
        return known

    def _scores(self, window: Window, values: dict[str, Array]) -> TokenScores:
        exact, model = self._exact(window), self.mixed.model
        assert model.logits is not None, "a language model has predictions"
        outputs = model.outputs(self._feed(window.ids), values)
        return compare_logits(exact, scored_rows(outputs[model.logits], window, str(self.mixed.xml)), window)

    def _decoded(self, modes: Sequence[str], what: str) -> dict[str, Array]:
        """The weights of all layers in these modes."""
        for _ in self.mixed.run.encoded(list(map(vector_encoding, modes)), f"encoding {what}"):
            pass
        for number, mode in enumerate(modes):
            if self._values.get(number, ("", {}))[0] != mode:
                self._values[number] = mode, self.mixed.run.decoded(number, vector_encoding(mode))
        return {name: each for _, values in self._values.values() for name, each in values.items()}

    def _too_few(self, spent: Spent) -> SettingsError:
        low, high = spent.kl_interval or (np.nan, np.nan)
        bits = average_bits(self.mixed.layers, self._modes(len(self._steps)))
        return SettingsError(
            f"max-kl {self.max_kl:g}: {self.mixed.xml.name} reaches {spent.kl:.3g} ({low:.3g} to {high:.3g}) with all "
            f"layers in {VECTOR_STEPS[-1]}, {bits:.2f} bits a weight; allow more, or use int8_sym"
        )
