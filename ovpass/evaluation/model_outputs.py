"""Evaluate encoders and other models by cosine distance and error of their outputs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.errors import ModelError
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.notes import candidate_notes
from ovpass.evaluation.preparation import Prepared, prepare, prepare_reference
from ovpass.evaluation.runner import compiled
from ovpass.evaluation.summary import Estimate, estimate
from ovpass.support.array_files import read_arrays
from ovpass.support.formatting import last_line
from ovpass.support.progress import Progress, in_parts
from ovpass.support.shown import Shown
from ovpass.support.structured_text import MalformedError
from ovpass.verification.inputs import input_specs

Array = npt.NDArray[Any]
Inputs = Mapping[str, Array]


@dataclass(frozen=True)
class OutputSummary:
    """How one output differs from the reference's.

    `cosine` is the mean cosine of corresponding vectors along the last axis, `relative_error` the mean over inputs
    of |a - b| / |a| (Euclidean norms), `maximum` the largest difference of one element.
    """

    name: str
    cosine: Estimate
    relative_error: Estimate
    maximum: float


@dataclass(frozen=True)
class OutputsResult:
    """One candidate: its outputs against the reference's, and what is to be known about them."""

    model: str
    how: str
    notes: tuple[str, ...]
    outputs: tuple[OutputSummary, ...]
    inputs: int
    seconds: float


@dataclass(frozen=True)
class ArraysReport(Shown):
    """All candidates, and the reference that they were compared with."""

    reference: str
    how: str
    candidates: tuple[OutputsResult, ...]


def evaluate_arrays(
    reference: Candidate,
    candidates: Sequence[Candidate],
    cases: Sequence[Inputs],
    *,
    tokens: int | None = None,
    device: str = "CPU",
    progress: Progress = lambda _: None,
) -> ArraysReport:
    """Run all candidates on the same inputs, of at most `tokens` tokens; None where that cannot be told.

    Raises:
        OvpassError: for a model, setting or input that cannot be used.
    """
    prepared = prepare_reference(reference, device)
    truth = _run(prepared, reference.label, cases, device, progress)
    judged = []
    for step, candidate in in_parts(progress, "candidate", candidates):
        own, started = prepare(candidate, device), time.perf_counter()
        outputs = _run(own, candidate.label, cases, device, step)
        seconds = time.perf_counter() - started
        notes = candidate_notes(own.plan, tokens)
        judged.append(OutputsResult(candidate.label, own.how, notes, _summaries(truth, outputs), len(cases), seconds))
    return ArraysReport(reference.label, prepared.how, tuple(judged))


def load_case(path: Path, model: ov.Model) -> Inputs:
    """The inputs in an .npz file, one array for each of the model's inputs, under its name.

    Raises:
        ModelError: naming what the file lacks, or what has another shape.
    """
    try:
        arrays = read_arrays(path)
    except MalformedError as error:
        raise ModelError(f"{path}: cannot be read as inputs (.npz): {error}") from error
    for port, spec in zip(model.inputs, input_specs(model), strict=True):
        if spec.name not in arrays:
            wanted = f"{spec.name} {port.get_partial_shape()}"
            raise ModelError(f"{path}: has no array for input {wanted}; it has {', '.join(arrays) or 'none'}")
        if not port.get_partial_shape().compatible(ov.PartialShape(list(arrays[spec.name].shape))):
            shape = list(arrays[spec.name].shape)
            raise ModelError(f"{path}: {spec.name} has shape {shape}, the model takes {port.get_partial_shape()}")
    return {port.get_any_name(): arrays[port.get_any_name()] for port in model.inputs}


def _run(
    prepared: Prepared, name: str, cases: Sequence[Inputs], device: str, progress: Progress
) -> list[dict[str, Array]]:
    progress(f"{name}: compiling")
    model = compiled(prepared, name, device)
    names = [_name(port, number) for number, port in enumerate(model.outputs)]
    request = model.create_infer_request()
    found = []
    for number, case in enumerate(cases):
        progress(f"{name}: input {number + 1} of {len(cases)}")
        try:
            request.reset_state()
            request.infer(dict(case))
        except RuntimeError as error:
            raise ModelError(f"{name}: fails on these inputs: {last_line(error)}") from error
        tensors = zip(names, request.output_tensors, strict=True)
        found.append({key: np.array(tensor.data) for key, tensor in tensors if _is_float(tensor)})
    return found


def _name(port: ov.Output, number: int) -> str:
    return str(port.get_any_name()) if port.get_names() else f"output {number}"


def _is_float(tensor: ov.Tensor) -> bool:
    return bool(np.issubdtype(tensor.data.dtype, np.floating)) and tensor.size > 0


def _summaries(truth: Sequence[dict[str, Array]], found: Sequence[dict[str, Array]]) -> tuple[OutputSummary, ...]:
    shared = [key for key in truth[0] if key in found[0] and truth[0][key].shape == found[0][key].shape]
    if not shared:
        raise ModelError("the models have no output of the same name and shape to compare")
    return tuple(_summary(key, [t[key] for t in truth], [f[key] for f in found]) for key in shared)


def _summary(name: str, truth: Sequence[Array], found: Sequence[Array]) -> OutputSummary:
    pairs = [(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in zip(truth, found, strict=True)]
    errors = [np.array([np.linalg.norm(a - b) / max(np.linalg.norm(a), 1e-30)]) for a, b in pairs]
    return OutputSummary(
        name=name,
        cosine=estimate(np.mean, [_cosines(a, b) for a, b in pairs]),
        relative_error=estimate(np.mean, errors),
        maximum=max(float(np.abs(a - b).max()) for a, b in pairs),
    )


def _cosines(a: Array, b: Array) -> Array:
    """Of corresponding vectors along the last axis; two vectors of zeros are alike."""
    a, b = (np.atleast_1d(x).reshape(-1, x.shape[-1] if x.ndim else 1) for x in (a, b))
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.where(norms > 0, (a * b).sum(-1) / np.maximum(norms, 1e-300), 1.0)
