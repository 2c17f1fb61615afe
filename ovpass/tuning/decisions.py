"""Measure a choice on more and more text, until a budget decides about it or more text would not help."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ovpass.evaluation.windows import Window
from ovpass.tuning.budget import NOTHING, Budget, Spent
from ovpass.tuning.sequential import LOOKS, Sums

HOPE = 2
"""Looks at a choice before it is given up because more text would hardly bring it within the budget."""
PATIENCE = 3
"""Looks at a choice before it is given up because there is another one. Beside one that was measured on more text, more
looks change little: by then the rest of the interval comes from that one."""

Measured = Callable[[Sequence[Window], int], Sums]
"""The sums of a choice over windows; it is told how many tokens were scored before."""


@dataclass
class Decisions:
    """`looks` are the windows that each look adds, by text."""

    looks: Mapping[str, Sequence[Sequence[Window]]]
    _longest: dict[str, Sums] = field(default_factory=dict)
    """Of each text the sums of the choice that was measured on most of it."""

    def spent(
        self,
        text: str,
        budget: Budget,
        measured: Measured,
        *,
        most: int = LOOKS,
        patience: int = HOPE,
        stop: Callable[[Spent], bool] = lambda _: False,
        whole: bool = False,
    ) -> Spent:
        """What a choice costs on a text, in at most so many looks.

        It is given up after `patience` looks if it would not be within the budget even if all further text cost the
        same. After as many, and PATIENCE at least, it is given up if `stop` says so of what it costs until then, or if
        another choice was measured on more text. With `whole` it has to stay within the budget on all of the text.
        """
        sums, longest, spent = Sums(), self._longest.get(text, Sums()), NOTHING
        looks = self.looks[text][:most]
        for look, windows in enumerate(looks, start=1):
            sums += measured(windows, sum(sums.tokens))
            spent = Spent.of(sums, longest)
            decided = budget.excludes(spent) or (budget.allows(spent) and not whole)
            beside = len(longest.tokens) > len(sums.tokens) and not whole
            hopeless = not budget.allows(spent.with_text(2 ** (len(looks) - look)))
            enough = look >= max(patience, PATIENCE) and (beside or stop(spent))
            if decided or enough or (look >= patience and hopeless):
                break
        self._longest[text] = max(longest, sums, key=lambda sums: len(sums.tokens))
        return spent
