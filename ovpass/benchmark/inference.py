"""Run a model without generation: single requests for latency, parallel requests for throughput."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import openvino as ov

from ovpass.benchmark.messages import LATENCY, THROUGHPUT, Sample
from ovpass.benchmark.subjects import Subject
from ovpass.benchmark.workload import Workload
from ovpass.errors import SettingsError
from ovpass.kernels.loading import core_and_settings
from ovpass.support.array_files import read_arrays
from ovpass.support.structured_text import MalformedError
from ovpass.verification.inputs import input_specs, make_inputs, shapes_for

Arrays = Mapping[str, npt.NDArray[Any]]


class Inference:
    """A compiled model.

    Raises:
        RuntimeError: what OpenVINO throws for models, devices and properties that it does not take.
        SettingsError: if the given inputs are not those of the model.
    """

    def __init__(self, subject: Subject, workload: Workload) -> None:
        self.versions: dict[str, str] = {}
        core, kernels = core_and_settings(subject.path, workload.device)
        started = time.perf_counter()
        model = core.read_model(subject.path)
        self._compiled = core.compile_model(model, workload.device, {**kernels, **subject.properties})
        self.seconds = time.perf_counter() - started
        self.effective = _properties(self._compiled)
        self._specs, self._seed = input_specs(model), workload.seed
        self._given = None if workload.inputs is None else _read(workload.inputs, self._compiled)
        self.sweeps = self._given is None and shapes_for(self._specs, 1) != shapes_for(self._specs, 1024)
        self._request = self._compiled.create_infer_request()
        self._queue = ov.AsyncInferQueue(self._compiled)
        self.requests = len(self._queue)

    def measure(self, sample: Sample) -> dict[str, float]:
        """The time of one inference in milliseconds, and inferences a second with all requests at work."""
        inputs = self._given or make_inputs(self._specs, sample.tokens or 1, self._seed + sample.index)
        self._request.reset_state()
        started = time.perf_counter()
        self._request.infer(inputs)
        seconds = time.perf_counter() - started
        return {LATENCY: 1000 * seconds, THROUGHPUT: self._throughput(inputs) if self.requests > 1 else 1 / seconds}

    def _throughput(self, inputs: Arrays) -> float:
        for request in self._queue:
            request.reset_state()
        started = time.perf_counter()
        for _ in range(self.requests):
            self._queue.start_async(inputs)
        self._queue.wait_all()
        return self.requests / (time.perf_counter() - started)


def _read(path: Path, compiled: ov.CompiledModel) -> dict[str, npt.NDArray[Any]]:
    try:
        given = read_arrays(path)
    except MalformedError as error:
        raise SettingsError(f"{path}: cannot be read as inputs (.npz): {error}") from error
    names = [port.get_names() for port in compiled.inputs]
    missing = [min(aliases) for aliases in names if not aliases & given.keys()]
    unknown = sorted(given.keys() - set().union(*names))
    if missing or unknown:
        raise SettingsError(
            f"{path}: its arrays are {', '.join(sorted(given))}; the model's inputs are "
            f"{', '.join(min(aliases) for aliases in names)}"
        )
    return given


def _properties(compiled: ov.CompiledModel) -> dict[str, str]:
    names = compiled.get_property("SUPPORTED_PROPERTIES")
    return {name: _text(compiled.get_property(name)) for name in names if name != "SUPPORTED_PROPERTIES"}


def _text(value: Any) -> str:
    """OpenVINO's own spelling, where Python has another."""
    if isinstance(value, bool):
        return "YES" if value else "NO"
    if isinstance(value, (list, set, tuple)):
        return " ".join(map(_text, value))
    if isinstance(value, ov.Type):
        return str(value.to_string())
    return str(getattr(value, "name", value))
