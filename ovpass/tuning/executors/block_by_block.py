"""Run all measurements together, one block of the model in memory at a time."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import openvino as ov

from ovpass.errors import ModelError
from ovpass.evaluation.blockwise import Array, Blockwise, segments_of
from ovpass.evaluation.comparison import TokenScores, compare_logits
from ovpass.evaluation.compiled_segment import Tensors
from ovpass.evaluation.feeding import TokenFeed
from ovpass.evaluation.hidden_states import HiddenStates
from ovpass.evaluation.preparation import without_own_quantization
from ovpass.evaluation.segments import Segment
from ovpass.evaluation.windows import Window
from ovpass.tuning.executors.base import Subject, Task
from ovpass.tuning.local_errors import local_errors
from ovpass.tuning.segment_runner import SwitchedSegment, switched_sites
from ovpass.tuning.switched_model import Choice, switches_on
from ovpass.tuning.switches import Switches, group_sizes


@dataclass(frozen=True)
class BlockByBlock:
    """For models larger than memory. What blocks hand on stays on disk until all measurements are made."""

    subject: Subject
    width: int = 1

    def run(self, tasks: Iterable[Task]) -> Iterator[list[TokenScores]]:
        """The scores of each task; all of them are taken first, for a block is loaded once for all.

        Raises:
            ModelError: if the model cannot be cut at its blocks, or fails.
            OutputError: if there is no room for what blocks hand on.
        """
        asked = list(tasks)
        if not asked:
            return
        hidden = HiddenStates(self.subject.hidden)
        found = self._scores(asked, hidden)
        yield from ([found[number, place] for place in range(len(task.windows))] for number, task in enumerate(asked))
        hidden.clear()

    def local_errors(self, choices: Mapping[str, Choice], window: Window) -> dict[str, float]:
        """As `SwitchedModel.local_errors`.

        Raises:
            ModelError: if the model cannot be cut at its blocks, or fails.
        """
        model = self._read()
        feed = TokenFeed(model, self._name, self.subject.ir.xml.parent)(window.ids)
        numbers = range(len(segments_of(model, self._name)))
        segments = (self._parts.load(segments_of(self._read(), self._name)[number]) for number in numbers)
        return local_errors(segments, feed, choices)

    def _scores(self, tasks: list[Task], hidden: HiddenStates) -> dict[tuple[int, int], TokenScores]:
        """By the number of the task and that of its window."""
        threads, home = self.subject.workers.threads, self.subject.ir.xml.parent
        model: Blockwise[Choice] = Blockwise(self._read, self._name, home, self._parts, hidden, self.subject.progress)
        uses = _by_window(tasks)
        pairs = [(window, choice) for window, used in uses for choice in ({}, *(tasks[n].choice for n, _ in used))]
        logits, found = model.logits(pairs), dict[tuple[int, int], TokenScores]()
        for window, used in uses:
            exact = next(logits).copy()
            for use in used:
                found[use] = compare_logits(exact, next(logits), window, threads)
        return found

    @property
    def _name(self) -> str:
        return str(self.subject.ir.xml)

    @property
    def _parts(self) -> _SwitchedParts:
        subject = self.subject
        switches = switches_on(subject.workers.threads, symmetric=subject.symmetric, half=subject.half)
        return _SwitchedParts(self._name, switches)

    def _read(self) -> ov.Model:
        return without_own_quantization(self.subject.ir.read())


def _by_window(tasks: list[Task]) -> list[tuple[Window, list[tuple[int, int]]]]:
    """Each window once, long ones first, with the tasks that use it, and as which of theirs."""
    found: dict[tuple[bytes, int], tuple[Window, list[tuple[int, int]]]] = {}
    for number, task in enumerate(tasks):
        for place, window in enumerate(task.windows):
            found.setdefault((window.ids.tobytes(), window.scored), (window, []))[1].append((number, place))
    return sorted(found.values(), key=lambda item: -len(item[0].ids))


@dataclass(frozen=True)
class _SwitchedParts:
    name: str
    switches: Switches

    def load(self, segment: Segment) -> _WarmedUp:
        return _WarmedUp(SwitchedSegment(segment, self.name, self.switches), self.name)

    def key(self, segment: Segment, variant: Choice) -> Hashable:
        return tuple(map(int, group_sizes(switched_sites(segment), variant)))


class _WarmedUp:
    """A segment that counts once it has run in each position of its switches, as `SwitchedModel` says why."""

    def __init__(self, segment: SwitchedSegment, name: str) -> None:
        self._segment, self._name, self._warm = segment, name, not segment.sites
        self.sent, self.sites = segment.sent, segment.sites

    def run(self, feed: Mapping[str, Array], tensors: Tensors, variant: Choice) -> list[Array]:
        if not self._warm:
            self._warm_up(feed, tensors)
        return self._segment.run(feed, tensors, variant)

    def _warm_up(self, feed: Mapping[str, Array], tensors: Tensors) -> None:
        everything = {site.name: site.k for site in self._segment.sites}
        for choice in ({}, everything, {}):
            before = [np.array(output) for output in self._segment.run(feed, tensors, choice)]
        after = self._segment.run(feed, tensors, {})
        if not all(map(np.array_equal, before, after)):
            raise ModelError(f"{self._name}: two runs of the same tokens differ; sites cannot be switched one by one")
        self._warm = True
