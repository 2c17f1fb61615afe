"""Time compiled models against each other on a machine that is never quiet, and see where their time goes."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import openvino as ov

WARM_UP = 2


@dataclass(frozen=True)
class Times:
    """Of one model: seconds of every inference, in the order of the rounds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        return min(self.seconds)

    def ratio(self, other: Times) -> float:
        """The ratio of the medians."""
        return self.median / other.median


@dataclass(frozen=True)
class Executed:
    """A node of a compiled model: mean microseconds, the precisions of its first input and output."""

    name: str
    kind: str
    kernel: str
    precisions: str
    microseconds: float


def interleave(
    models: Mapping[str, ov.CompiledModel],
    inputs: np.ndarray,
    rounds: int,
    seconds: float = float("inf"),
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
    """Run all models once a round, in random order: what slows the machine down slows all of them.

    Stops after `rounds`, or after `seconds` if there were at least 5.
    """
    return in_turns({name: inference(model, inputs) for name, model in models.items()}, rounds, seconds, clock)


def in_turns(
    calls: Mapping[str, Callable[[], None]],
    rounds: int,
    seconds: float = float("inf"),
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Times]:
    """The same for any calls."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls), random.Random(0).shuffle
    ends = time.perf_counter() + seconds
    for count in range(rounds):
        if count >= 5 and time.perf_counter() > ends:
            break
        shuffle(order)
        for name in order:
            started = clock()
            calls[name]()
            found[name].append(clock() - started)
    return {name: Times(tuple(values)) for name, values in found.items()}


def profile(model: ov.CompiledModel, inputs: np.ndarray, rounds: int) -> list[Executed]:
    """The nodes that take time, in the order of execution. The model must be compiled with PERF_COUNT.

    The plugin reports the mean over all inferences so far; those of the warm-up, which are the slow ones, are taken
    out of it again.
    """
    request = _request(model, inputs)
    before = {node.node_name: node.real_time.total_seconds() for node in request.get_profiling_info()}
    for _ in range(rounds):
        _run(request)
    precisions = dict(_precisions(model))
    found = []
    for node in request.get_profiling_info():
        total = node.real_time.total_seconds() * (WARM_UP + rounds) - before[node.node_name] * WARM_UP
        if total > 0:
            name, microseconds = node.node_name, total / rounds * 1e6
            found.append(Executed(name, node.node_type, node.exec_type, precisions.get(name, ""), microseconds))
    return found


def _precisions(model: ov.CompiledModel) -> Iterator[tuple[str, str]]:
    for node in model.get_runtime_model().get_ordered_ops():
        if node.get_input_size() and node.get_output_size():
            read, written = node.input_value(0).get_element_type(), node.get_output_element_type(0)
            yield node.get_friendly_name(), f"{read.get_type_name()}>{written.get_type_name()}"


def inference(model: ov.CompiledModel, inputs: np.ndarray) -> Callable[[], None]:
    """Runs the model on its inputs; it ran before."""
    return partial(_run, _request(model, inputs))


def _request(model: ov.CompiledModel, inputs: np.ndarray) -> ov.InferRequest:
    request = model.create_infer_request()
    request.set_input_tensor(ov.Tensor(inputs))
    for _ in range(WARM_UP):
        _run(request)
    return request


def _run(request: ov.InferRequest) -> None:
    """Without the copies of inputs and outputs that `infer` makes."""
    request.start_async()
    request.wait()
