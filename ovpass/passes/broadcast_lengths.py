"""Lengths in graphs from GGUF files that nothing executes as they are.

GenAI's graphs repeat the heads of keys and values by a bidirectional Broadcast whose target says 0 for the number of
tokens. By the rules of Broadcast that is a length of 0, by which a longer axis cannot be broadcast; a 1 leaves any axis
as it is. Plugins never execute this node: they fuse it into attention, which they cannot do in a piece of the graph, or
where something stands between a state and attention.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import openvino as ov
from openvino import opset13 as op


def keep_lengths(model: ov.Model) -> list[tuple[ov.Input, ov.Output]]:
    """Put ones in place of the zeros in target shapes of such Broadcasts; the inputs that read them, and the zeros."""
    inputs = [port for node in model.get_ops() if _is_bidirectional(node) for port in _zeros(node)]
    zeros = [port.get_source_output() for port in inputs]
    for port, zero in zip(inputs, zeros, strict=True):
        port.replace_source_output(op.constant(np.ones_like(zero.get_node().data)).output(0))
    model.validate_nodes_and_infer_types()
    return list(zip(inputs, zeros, strict=True))


@contextmanager
def lengths_kept(model: ov.Model) -> Iterator[None]:
    """`keep_lengths` for as long as the context lasts: fusions look for the graph as it was."""
    replaced = keep_lengths(model)
    try:
        yield
    finally:
        for port, zero in replaced:
            port.replace_source_output(zero)
        model.validate_nodes_and_infer_types()


def _is_bidirectional(node: ov.Node) -> bool:
    return bool(node.get_type_name() == "Broadcast" and node.get_attributes()["mode"] == "bidirectional")


def _zeros(broadcast: ov.Node) -> list[ov.Input]:
    """Where a target shape that is put together from parts takes a length of 0."""
    target = broadcast.input_value(1).get_node()
    readers = [port.get_node() for port in target.output(0).get_target_inputs()]
    if target.get_type_name() != "Concat" or not all(map(_is_bidirectional, readers)):
        return []
    sources = [port.get_source_output().get_node() for port in target.inputs()]
    constant = [node.get_type_name() == "Constant" and node.data.tolist() == [0] for node in sources]
    return [port for port, is_zero in zip(target.inputs(), constant, strict=True) if is_zero]
