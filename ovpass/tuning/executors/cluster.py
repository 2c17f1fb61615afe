"""Run measurements on a cluster of Dask distributed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property

from ovpass.evaluation.comparison import TokenScores
from ovpass.evaluation.hosts import Likeness, describe
from ovpass.tuning.executors.base import Subject, Task
from ovpass.tuning.executors.copies import Recipe, measure


class Cluster:
    """Workers of a cluster, each with its own copy of the model. Dask runs the tasks of lost workers again."""

    def __init__(self, subject: Subject) -> None:
        self._subject, self._cluster = subject, subject.workers.join()

    @property
    def width(self) -> int:
        """How many workers there are now."""
        return self._cluster.width

    def run(self, tasks: Iterable[Task]) -> Iterator[list[TokenScores]]:
        """The scores of each task, in the order of the tasks.

        Raises:
            ExecutorError: if the cluster does not answer, its workers are not alike, or all is lost.
        """
        recipe = self._recipe
        return self._cluster.results(self._cluster.submit(measure, recipe, task) for task in tasks)

    @cached_property
    def _recipe(self) -> Recipe:
        """The recipe for workers like the first one, once all are found to be alike."""
        workers, cluster = self._subject.workers, self._cluster
        recipe = Recipe.of(self._subject, workers.threads_on(cluster))
        first = next(iter(cluster.ask(describe, recipe.xml).values()))
        alike = Likeness(recipe.xml, replace(describe(recipe.xml), cpu=first.cpu), mixed=workers.mixed)
        alike.require_on(cluster)
        return replace(recipe, alike=alike)
