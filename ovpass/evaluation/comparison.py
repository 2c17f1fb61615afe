"""Compare two sets of predictions token by token.

The arithmetic runs in OpenVINO on all cores: with a vocabulary of 50,000, NumPy takes as long as a small model itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.evaluation.windows import Window

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TokenScores:
    """One value a scored token, f64 [tokens].

    `kl` is the Kullback-Leibler divergence sum p (ln p - ln q) of the candidate's distribution q from the
    reference's p, in nats. `nll` is the candidate's -ln q of the token that follows, `reference_nll` the
    reference's. `agrees` tells where both think the same token likeliest.
    """

    kl: Array
    nll: Array
    reference_nll: Array
    agrees: Array


def compare_logits(reference: Array, candidate: Array, window: Window, threads: int | None = None) -> TokenScores:
    """Score the candidate's logits [scored, vocabulary] against the reference's, on `threads`, None: on all."""
    request = _comparator(threads).create_infer_request()
    logits = (np.ascontiguousarray(values, np.float32) for values in (reference, candidate))
    inputs = [*logits, window.targets[:, None]]
    request.infer(dict(enumerate(inputs)), share_inputs=True)
    kl, nll, reference_nll, agrees = (np.array(tensor.data, np.float64) for tensor in request.output_tensors)
    return TokenScores(np.maximum(kl, 0), nll, reference_nll, agrees)


@cache
def _comparator(threads: int | None) -> ov.CompiledModel:
    shape = ov.PartialShape([-1, -1])
    reference, candidate = (op.parameter(shape, np.float32, name=name) for name in ("reference", "candidate"))
    targets = op.parameter(ov.PartialShape([-1, 1]), np.int64, name="targets")
    p, q = op.log_softmax(reference, -1), op.log_softmax(candidate, -1)
    last = op.constant(np.array([-1], np.int64))
    kl = op.reduce_sum(op.multiply(op.exp(p), op.subtract(p, q)), last)
    agrees = op.convert(op.equal(_likeliest(reference), _likeliest(candidate)), "f32")
    outputs = [kl, _nll(q, targets), _nll(p, targets), op.squeeze(agrees, last)]
    model = ov.Model([op.result(output) for output in outputs], [reference, candidate, targets])
    limit = {} if threads is None else {"INFERENCE_NUM_THREADS": str(threads)}
    return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", **limit})


def _nll(log_probabilities: ov.Node, targets: ov.Node) -> ov.Node:
    chosen = op.gather_elements(log_probabilities, targets, -1)
    return op.squeeze(op.negative(chosen), op.constant(np.array([-1], np.int64)))


def _likeliest(logits: ov.Node) -> ov.Output:
    return op.topk(logits, op.constant(np.int64(1)), -1, "max", "value", index_element_type="i64").output(1)
