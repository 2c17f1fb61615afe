"""Keys and values that the model keeps itself.

The frontend writes them into caches that are inputs and outputs [1, T, heads, D]: ScatterUpdate by `inp_kv_idx`, then
Transpose to [1, heads, T, D]. Here each is a variable [batch, heads, T, D] that grows: ReadValue, Gather by
`beam_idx`, Concat, Assign, as optimum-intel writes them.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.conversion.gguf_frontend.nodes import constant, consumers, integers, of_type, redirect, sources

_CACHE = "cache_"
_REPEATING = ("Unsqueeze", "Broadcast", "Reshape")


def make_stateful(model: ov.Model, batch: ov.Output) -> list[ov.Node]:
    """Replace every cache by a variable; returns what updates them. `batch` [1] is the number of texts.

    Raises:
        ValueError: for a state that is no cache of keys and values.
    """
    beam = op.parameter([-1], np.int32, name="beam_idx")
    beam.output(0).set_names({"beam_idx"})
    caches = [node for node in model.get_parameters() if node.get_friendly_name().startswith(_CACHE)]
    sinks = [_grow(cache, beam, batch) for cache in caches]
    names = {cache.get_friendly_name() for cache in caches}
    for result in [each for each in model.get_results() if each.get_friendly_name() in names]:
        model.remove_result(result)
    for cache in caches:
        model.remove_parameter(cache)
    model.add_parameters([beam])
    return sinks


def _grow(cache: ov.Node, beam: ov.Node, batch: ov.Output) -> ov.Node:
    name, shape = cache.get_friendly_name(), cache.get_partial_shape()
    writes = [node for node in consumers(cache.output(0)) if node.get_type_name() == "ScatterUpdate"]
    if len(writes) != 1 or len(shape) != 4 or not (shape[2].is_static and shape[3].is_static):
        raise ValueError(f"its state {name} is no cache of keys or values")
    heads, size = shape[2].get_length(), shape[3].get_length()
    # What is written has been flattened to [1, 1, rows, D] in f16.
    fresh = sources(writes[0].input_value(2), "Reshape", "Convert")
    fresh = op.reshape(fresh, constant(0, -1, heads, size), True)
    fresh = op.transpose(fresh, constant(0, 2, 1, 3))
    empty = op.broadcast(op.constant(np.float32(0)), op.concat([batch, constant(heads, 0, size)], 0))
    past = op.gather(
        op.read_value(empty, name, ov.Type.f32, ov.PartialShape([-1, heads, -1, size])), beam, op.constant(np.int64(0))
    )
    grown = op.concat([past, fresh], 2)
    grown.set_friendly_name(f"{name}/grown")
    reads = [_read(node) for node in consumers(writes[0].output(0)) if node.get_type_name() != "Result"]
    if not reads or None in reads:
        raise ValueError(f"its state {name} is not read by attention alone")
    for read in reads:
        assert read is not None
        redirect(read.output(0), _repeated(grown, heads, read, size))
    return op.assign(grown, name)


def _read(node: ov.Node) -> ov.Node | None:
    """The Transpose by which attention reads a cache, behind what repeats heads; None if there is no such one."""
    while node.get_type_name() in _REPEATING:
        (node,) = consumers(node.output(0))
    return node if integers(node.input_value(1)) == [0, 2, 1, 3] else None


def _repeated(grown: ov.Node, heads: int, read: ov.Node, size: int) -> ov.Output:
    """[batch, heads of queries, T, D]: every head as often as queries share it."""
    times = int(read.get_output_partial_shape(0)[1].get_length()) // heads
    if times == 1:
        return grown.output(0)
    spread = op.broadcast(op.unsqueeze(grown, constant(2)), constant(1, 1, times, 1, 1), broadcast_spec="BIDIRECTIONAL")
    return op.reshape(spread, constant(0, heads * times, -1, size), True).output(0)


def attend_in_f32(model: ov.Model) -> None:
    """Take the rounding to f16 away that llama.cpp has around attention; plugins choose their own precision."""
    for attention in list(of_type(model, "ScaledDotProductAttention")):
        query = attention.input(0)
        moved = query.get_source_output().get_node()
        if moved.get_type_name() == "Transpose":
            moved.input(0).replace_source_output(sources(moved.input_value(0), "Convert"))
        scale = attention.input(4)
        exact = _scale(scale.get_source_output(), int(query.get_partial_shape()[-1].get_length()))
        scale.replace_source_output(exact.output(0))


def _scale(stored: ov.Output, size: int) -> ov.Node:
    """1 / sqrt(size) where f16 rounded that."""
    node = stored.get_node()
    if node.get_type_name() != "Constant":
        return op.convert(stored, "f32")
    value, usual = float(np.asarray(node.data).reshape(-1)[0]), size**-0.5
    return op.constant(np.float32(usual if np.float16(usual) == np.float16(value) else value))
