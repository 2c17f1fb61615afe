"""Run a model on samples, and look at what lies inside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.compression.calibration import Inputs
from ovpass.evaluation.preparation import CLEAN

Array = npt.NDArray[Any]


def observe(model: ov.Model, outputs: Sequence[ov.Output], samples: Sequence[Inputs]) -> Iterator[list[Array]]:
    """What `outputs` of ops of the model hold, for each sample: views that the next one overwrites."""
    before = len(model.outputs)
    results = [op.result(output) for output in outputs]
    model.add_results(results)
    try:
        request = ov.Core().compile_model(model, "CPU", dict(CLEAN)).create_infer_request()
    finally:
        for result in results:
            model.remove_result(result)
    for sample in samples:
        request.reset_state()
        request.infer(dict(sample))
        yield [tensor.data for tensor in request.output_tensors[before:]]
