"""OpenVINO GenAI's inputs: input_ids and position_ids [batch, tokens], attention_mask [batch, T], beam_idx [batch].

The frontend's are llama.cpp's: `inp_tokens` and `inp_pos` [1, 1, 1, tokens], masks `self_kq_mask` and, for sliding
windows, `self_kq_mask_swa` [1, 1, tokens, T] with 0 and -inf, and `inp_out_ids`, the tokens that logits are wanted of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.conversion.gguf_frontend.nodes import constant, consumers, parameter, redirect, sources

_LOWEST = -65504.0
"""The lowest number of f16: a row without any token to look at gives no NaN."""


@dataclass(frozen=True)
class Inputs:
    """The new inputs; `shape` [2] is that of input_ids, `batch` [1] and `tokens` [1] its two numbers."""

    ids: ov.Node
    mask: ov.Node
    positions: ov.Node
    shape: ov.Node
    batch: ov.Output
    tokens: ov.Output


def new_inputs(model: ov.Model) -> Inputs:
    """Add them to the model, where nothing reads them yet."""
    made = [op.parameter([-1, -1], np.int64, name=name) for name in ("input_ids", "attention_mask", "position_ids")]
    for node in made:
        node.output(0).set_names({node.get_friendly_name()})
    model.add_parameters(made)
    shape = op.shape_of(made[0])
    batch, tokens = (op.gather(shape, constant(axis), op.constant(np.int64(0))).output(0) for axis in (0, 1))
    ids, mask, positions = made
    return Inputs(ids, mask, positions, shape, batch, tokens)


def keep_all_tokens(model: ov.Model) -> None:
    """Leave out the Gather of chosen tokens, between Squeeze and Unsqueeze: logits are of all of them."""
    chosen = parameter(model, "inp_out_ids")
    for squeezed in consumers(chosen.output(0)) if chosen else []:
        for gather in consumers(squeezed.output(0)):
            whole = sources(gather.input_value(0), "Squeeze")
            for back in consumers(gather.output(0)):
                redirect(back.output(0), whole)


def connect(model: ov.Model, inputs: Inputs, window: int | None, *, everywhere: bool) -> None:
    """Compute what the frontend's inputs hold from the new ones, and take those away."""
    if positions := parameter(model, "inp_pos"):
        redirect(positions.output(0), op.unsqueeze(op.convert(inputs.positions, "i32"), constant(1, 2)).output(0))
    for name, reach in (("self_kq_mask", window if everywhere else None), ("self_kq_mask_swa", window)):
        if mask := parameter(model, name):
            for read in list(mask.output(0).get_target_inputs()):
                redirect(read.get_node().output(0), _mask(inputs, reach).output(0))
    ours = {node.get_friendly_name() for node in (inputs.ids, inputs.mask, inputs.positions)} | {"beam_idx"}
    for old in [node for node in model.get_parameters() if node.get_friendly_name() not in ours]:
        model.remove_parameter(old)


def _mask(inputs: Inputs, window: int | None) -> ov.Node:
    """[batch, 1, tokens, T] in f32: 0 for what a token sees, itself, what is before it, and within the window."""
    zero, one = op.constant(np.int64(0)), op.constant(np.int64(1))
    total = op.gather(op.shape_of(inputs.mask), op.constant(np.int64(1)), zero)
    keys = op.range(zero, total, one, "i64")
    queries = op.range(op.subtract(total, op.squeeze(inputs.tokens, zero)), total, one, "i64")
    queries = op.unsqueeze(queries, constant(1))
    seen = op.less_equal(keys, queries)
    if window is not None:
        seen = op.logical_and(seen, op.greater(keys, op.subtract(queries, op.constant(np.int64(window)))))
    there = op.unsqueeze(op.not_equal(inputs.mask, zero), constant(1, 2))
    seen = op.logical_and(seen, there)
    return op.select(seen, op.constant(np.float32(0)), op.constant(np.float32(_LOWEST)))


def name_logits(model: ov.Model) -> None:
    """Name the output."""
    (result,) = model.get_results()
    result.set_friendly_name("logits")
    result.input_value(0).get_node().output(0).set_names({"logits"})
