"""What sites are expected to cost and gain in groups of each size, before any plan with them is measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ovpass.planning.plan import QUANTIZE
from ovpass.sites import CompressedMatMul
from ovpass.tuning.activation_statistics import ActivationFacts
from ovpass.tuning.budget import gain
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.sensitivity import LOCAL_TOKENS, Measure, Sensitivity, sensitivity
from ovpass.tuning.sequential import digest
from ovpass.tuning.site_sizes import Option


@dataclass(frozen=True)
class ExpectedCosts:
    """Costs from a ranking of sites, fast unless `exact`, which is made when it is first asked for.

    `choices` are the sizes that the target uses, by site, for each group size of the whole model. Costs of sites nearly
    add up (measured).
    """

    experiment: Experiment
    choices: Mapping[int, Mapping[str, int]]
    exact: bool

    def cost(self, choice: Mapping[str, int]) -> float:
        """KL divergence of sites in groups of these sizes, in nats per token."""
        return sum(self._cost(name, group) for name, group in choice.items())

    def gain(self, choice: Mapping[str, int]) -> float:
        """Multiply-accumulates that count for sites in groups of these sizes."""
        return sum(gain(self._sites[name], group, self.ratios.get(name)) for name, group in choice.items())

    def option(self, setting: int, choice: Mapping[str, int]) -> Option:
        """What sites that share a setting gain and cost in groups of these sizes."""
        return Option(setting, self.gain(choice), self.cost(choice))

    def order(self, size: int) -> Sequence[str]:
        """The sites of a group size, those first that cost most for the work they do."""
        return self._orders[size]

    @cached_property
    def ratios(self) -> dict[str, float]:
        """Times expected of sites by the default's, where the settings ask for what is faster."""
        plan = self.experiment.plan_for(replace(self.experiment.settings, group_size=next(iter(self.choices))))
        return {d.name: d.expected_ratio for d in plan.chosen(QUANTIZE) if d.expected_ratio is not None}

    @cached_property
    def _sites(self) -> dict[str, CompressedMatMul]:
        return {site.name: site for site in self.experiment.sites}

    @cached_property
    def _orders(self) -> dict[int, list[str]]:
        def price(item: tuple[str, int]) -> float:
            return self.cost(dict([item])) / self.gain(dict([item]))

        orders = {size: sorted(choice.items(), key=price, reverse=True) for size, choice in self.choices.items()}
        return {size: [name for name, _ in items] for size, items in orders.items()}

    def _cost(self, name: str, group: int) -> float:
        entry = self._ranking.get(name)
        if entry is None:
            return 0.0
        measured = self.choices[self._widest].get(name, group)
        return entry.costs.trimmed * (1.0 if group == measured else self._ratio(name, entry.facts, group, measured))

    def _ratio(self, name: str, facts: ActivationFacts | None, group: int, measured: int) -> float:
        """How much smaller the error is in groups of another size; by its energy where no block tells more."""
        own, other = (self._local_errors.get(_asked(name, size)) for size in (group, measured))
        return own / other if own is not None and other else _energy_ratio(facts, group, measured)

    @cached_property
    def _local_errors(self) -> dict[str, float]:
        """What each group size does to the block of a site: only outliers that weights see count there."""
        if self.experiment.whole is not None:
            return {}
        store, window = self.experiment.store("group sizes", {}), self.experiment.windows[0].start(LOCAL_TOKENS)
        sizes = {pair for choice in self.choices.values() for pair in choice.items()}
        key = digest(json.dumps(sorted(sizes)), [window])
        known = store.get(key, dict[str, float])
        if known is None:
            self.experiment.progress("comparing group sizes by what blocks hand on")
            known = self.experiment.local_errors({_asked(*pair): dict([pair]) for pair in sorted(sizes)}, window)
            store.put(key, known)
        return known

    @cached_property
    def _widest(self) -> int:
        """The group size at which most sites are quantized, the largest of these: costs are measured at that one."""
        return max(self.choices, key=lambda size: (len(self.choices[size]), size))

    @cached_property
    def _ranking(self) -> dict[str, Sensitivity]:
        base = self.experiment.under(replace(self.experiment.settings, group_size=self._widest))
        sizes = tuple({group for choice in self.choices.values() for group in choice.values()})
        report = sensitivity(base, Measure(fast=not self.exact, groups=sizes))
        return {entry.unit.name: entry for entry in report.ranking}


def _asked(name: str, group: int) -> str:
    return f"{name} in groups of {group}"


def _energy_ratio(facts: ActivationFacts | None, group: int, measured: int) -> float:
    """How much smaller the energy of the rounding error is; the cost is taken as equal where that is not known."""
    errors: Mapping[int, float] = {} if facts is None else facts.errors
    if not errors.get(measured) or group not in errors:
        return 1.0
    return errors[group] / errors[measured]
