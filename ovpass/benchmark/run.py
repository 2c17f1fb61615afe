"""Benchmark several models in one run, interleaved, so that a slower machine slows all of them."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from random import Random

from ovpass.benchmark.messages import Loaded, Measured, Sample
from ovpass.benchmark.process import ModelProcess, running
from ovpass.benchmark.result import Outcome, Result, make_cells
from ovpass.benchmark.subjects import Subject
from ovpass.benchmark.workload import DEFAULT_LENGTHS, Workload
from ovpass.errors import ModelError, SettingsError, VerifyError
from ovpass.verification.simulated_gpu import NOT_COVERED, RECEIVER, is_simulated


def run_benchmark(
    subjects: Sequence[Subject], workload: Workload, progress: Callable[[str], None] = lambda _: None
) -> Result:
    """Load each subject in a process of its own, and measure them in turns: in each round, at each length, all of
    them in random order.

    Raises:
        SettingsError: for a workload that does not fit the subjects.
        ModelError: for a prompt that is longer than a model takes.
        NoDeviceError: if the device is missing.
        VerifyError: for a simulated device, and for a model that does not compile, run or come to an end.
    """
    if not subjects:
        raise SettingsError("name a model to measure")
    refuse_simulated(workload.device)
    asked = workload.lengths is not None
    workload = _fitted(workload, subjects)
    with ExitStack() as stack:
        processes, loaded = [], []
        for number, subject in enumerate(subjects, 1):
            progress(f"loading model {number} of {len(subjects)}")
            processes.append(stack.enter_context(running(subject, workload)))
            loaded.append(processes[-1].load())
        lengths = _lengths(workload, loaded)
        if asked and None in lengths:
            fixed = subjects[lengths[None][0]]
            raise SettingsError(f"{fixed.title}: its inputs have a fixed length; leave out --prompt-tokens")
        return _Rounds(subjects, workload, processes, loaded).run(lengths, progress)


def refuse_simulated(device: str) -> None:
    """A device that only records its work is quick at everything.

    Raises:
        VerifyError: if the environment has the GPU driver do that.
    """
    if device != "CPU" and is_simulated():
        raise VerifyError(
            f"{RECEIVER}={os.environ[RECEIVER]} is set, so the GPU is simulated: {NOT_COVERED}; "
            "unset it to measure on a real one, or measure on --device CPU"
        )


def _fitted(workload: Workload, subjects: Sequence[Subject]) -> Workload:
    """The workload with lengths: those asked for, or all the default ones that fit."""
    generates = subjects[0].generates
    odd = next((subject for subject in subjects if subject.generates != generates), None)
    if odd is not None:
        raise SettingsError(
            f"{subjects[0].title} and {odd.title}: one generates with OpenVINO GenAI, the other runs alone; "
            "benchmark them separately"
        )
    workload.check_generation(generates=generates)
    if workload.inputs is not None:
        return workload
    new = workload.output_tokens if generates else 0
    room = min((subject.context - new for subject in subjects if subject.context is not None), default=math.inf)
    lengths = workload.lengths or tuple(length for length in DEFAULT_LENGTHS if length <= room)
    longest = max(lengths or DEFAULT_LENGTHS[:1])
    if longest > room:
        tight = next(subject for subject in subjects if subject.context is not None and subject.context - new == room)
        raise ModelError(
            f"{tight.title}: a prompt of {longest} tokens{f' and {new} new ones' if new else ''} is longer than the "
            f"{tight.context} that its config.json allows (max_position_embeddings)"
        )
    return replace(workload, lengths=lengths)


def _lengths(workload: Workload, loaded: Sequence[Loaded]) -> dict[int | None, list[int]]:
    """Which subjects are measured at which length."""
    found: dict[int | None, list[int]] = defaultdict(list)
    for index, ready in enumerate(loaded):
        for length in (workload.lengths or ()) if ready.sweeps else (None,):
            found[length].append(index)
    return dict(found)


class _Rounds:
    """Processes that are loaded, and what they answered."""

    def __init__(
        self,
        subjects: Sequence[Subject],
        workload: Workload,
        processes: Sequence[ModelProcess],
        loaded: Sequence[Loaded],
    ) -> None:
        self._subjects, self._workload, self._processes, self._loaded = subjects, workload, processes, loaded
        self._peaks = [ready.megabytes for ready in loaded]

    def run(self, lengths: dict[int | None, list[int]], progress: Callable[[str], None]) -> Result:
        """All rounds, those to warm up first."""
        random, workload = Random(self._workload.seed), self._workload
        samples: dict[tuple[int, int | None], list[dict[str, float]]] = defaultdict(list)
        for turn in range(workload.warm_up + workload.repeats):
            measured = turn - workload.warm_up + 1
            what = f"round {measured} of {workload.repeats}" if measured > 0 else "warming up"
            order = list(enumerate(lengths))
            for place, length in random.sample(order, len(order)):
                progress(what if length is None else f"{what}: {length} tokens")
                for subject in random.sample(lengths[length], len(lengths[length])):
                    answer = self._measure(subject, Sample(length, turn * len(order) + place))
                    if measured > 0:
                        samples[subject, length].append(dict(answer.values))
        outcomes = map(Outcome, self._subjects, self._loaded, self._peaks)
        return Result(workload, os.cpu_count() or 1, tuple(outcomes), make_cells(samples, workload.seed))

    def _measure(self, subject: int, sample: Sample) -> Measured:
        answer = self._processes[subject].measure(sample)
        self._peaks[subject] = answer.megabytes
        return answer
