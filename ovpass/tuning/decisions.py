"""Measure a choice on more and more text, until a budget decides about it or more text would not help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ovpass.evaluation.windows import Window
from ovpass.tuning.budget import NOTHING, Budget, Spent
from ovpass.tuning.sequential import LOOKS, Sums

PATIENCE = 3
"""Looks at a choice before it is given up. A choice beside one that was measured on more text needs no more than that:
by then the rest of the interval comes from that one."""

Measured = Callable[[Sequence[Window], int], Sums]
"""The sums of a choice over windows; it is told how many tokens were scored before."""


@dataclass
class Decisions:
    """`looks` are the windows that each look adds, by text."""

    looks: Mapping[str, Sequence[Sequence[Window]]]
    _longest: dict[str, Sums] = field(default_factory=dict)
    """Of each text the sums of the choice that was measured on most of it."""

    def spent(
        self, text: str, budget: Budget, measured: Measured, *, most: int = LOOKS, patience: int = PATIENCE
    ) -> Spent:
        """What a choice costs on a text, in at most so many looks.

        After `patience` looks it is given up as soon as it would not be within the budget even if all further text
        cost the same.
        """
        sums, longest, spent = Sums(), self._longest.get(text, Sums()), NOTHING
        looks = self.looks[text][:most]
        for look, windows in enumerate(looks, start=1):
            sums += measured(windows, sum(sums.tokens))
            spent = Spent.of(sums, longest)
            beside = look >= PATIENCE and len(longest.tokens) > len(sums.tokens)
            hopeless = look >= patience and not budget.allows(spent.with_text(2 ** (len(looks) - look)))
            if budget.allows(spent) or budget.excludes(spent) or beside or hopeless:
                break
        self._longest[text] = max(longest, sums, key=lambda sums: len(sums.tokens))
        return spent
