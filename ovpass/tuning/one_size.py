"""Plans with one group size for the whole model, and sites that are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ovpass.errors import SettingsError
from ovpass.settings.settings import Settings
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.tuning.expected_costs import ExpectedCosts
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.plan_series import exempting, without

CANDIDATES = (PER_TOKEN, 32, 64, 128, 256)
"""Of those with the same effect the first counts: what zero points cap at 32 is called 32."""


@dataclass(frozen=True, eq=False)
class OneSize:
    """Plans with one group size, each of which leaves out one site more; those first that cost most for their work.

    `choice` has the sizes that the target uses, by site.
    """

    experiment: Experiment
    group_size: int
    choice: Mapping[str, int]
    costs: ExpectedCosts

    @property
    def length(self) -> int:
        """The number of sites."""
        return len(self.choice)

    def left(self, steps: int) -> dict[str, int]:
        """The group size of each site that stays quantized. Nothing is ranked where no order is needed."""
        if steps in (0, self.length):
            return {} if steps else dict(self.choice)
        gone = set(self.order[:steps])
        return {name: group for name, group in self.choice.items() if name not in gone}

    def left_out(self, steps: int) -> tuple[str, ...]:
        """The sites that are not quantized and could be, in the order of the model."""
        return without(self.experiment.sites, self.choice, self.left(steps))

    def possible(self, steps: int) -> bool:
        """Whether the target does that: always."""
        return True

    def settings(self, steps: int) -> Settings:
        """The settings that plan this."""
        return exempting(replace(self.experiment.settings, group_size=self.group_size), self.left_out(steps))

    @property
    def order(self) -> Sequence[str]:
        """The sites in the order in which they are left out."""
        return self.costs.order(self.group_size)


def choices_of(experiment: Experiment) -> dict[int, dict[str, int]]:
    """For each candidate the group sizes that the target would really use, by site; those with the same effect once.

    Raises:
        SettingsError: if the target quantizes nothing at any of them, with a reason.
    """
    found: dict[int, dict[str, int]] = {}
    reasons = []
    for size in CANDIDATES:
        try:
            plan = experiment.plan_for(replace(experiment.settings, group_size=size))
            chosen = experiment.choice(plan)
        except SettingsError as error:
            reasons.append(str(error))
            continue
        reasons += [decision.reason for decision in plan.decisions]
        if chosen and chosen not in found.values():
            found[size] = chosen
    if not found:
        raise SettingsError(f"{experiment.ir.xml}: no group size quantizes anything: {reasons[0]}")
    return found
