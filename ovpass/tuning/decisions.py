"""Decide whether choices are within a budget, each on as much text as that takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ovpass.evaluation.windows import Window
from ovpass.tuning.budget import Budget, Spent
from ovpass.tuning.sequential import LOOKS, Sums

_BESIDE = 3
"""Looks at a choice beside one that was measured on more text: by then the rest of the interval comes from that one."""

Measure = Callable[[Sequence[Window], int], Sums]
"""The sums of a choice over more windows; the number is that of the tokens before."""


@dataclass(frozen=True)
class Decisions:
    """`looks` are the windows that each look adds, by the name of the text."""

    budget: Budget
    looks: Mapping[str, Sequence[Sequence[Window]]]
    _longest: dict[str, Sums] = field(default_factory=dict)
    """Of each text the sums of the choice that was measured on most of it, beside which others need less."""

    def spent(self, text: str, measure: Measure, most: int = LOOKS, *, whole: bool = False) -> Spent:
        """What a choice costs, on more text until it is within the budget or beyond it, or there is no more.

        With `whole` it has to stay within the budget on all of the text.
        """
        sums, longest = Sums(), self._longest.get(text, Sums())
        for look, windows in enumerate(self.looks[text][:most], start=1):
            sums += measure(windows, sum(sums.tokens))
            spent = Spent.of(sums, longest)
            beside = look >= _BESIDE and len(longest.tokens) > len(sums.tokens)
            if self.budget.excludes(spent) or (not whole and (self.budget.allows(spent) or beside)):
                break
        self._longest[text] = max(longest, sums, key=lambda sums: len(sums.tokens))
        return spent
