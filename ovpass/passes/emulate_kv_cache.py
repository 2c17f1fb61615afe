"""Let attention read keys and values as a quantized KV cache would give them back.

The state keeps them as they were computed. What attention reads is quantized and dequantized each time: the codes of a
token depend on it alone, or on its window, so they are those that a device stores when the token comes, or its window
is full. As in the CPU plugin (measured), several tokens at once that meet an empty cache attend to keys and values as
computed; any other inference reads all of them from the cache, its own tokens included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.errors import PassError
from ovpass.passes.broadcast_lengths import keep_lengths
from ovpass.passes.editing import marker
from ovpass.passes.kv_caches import KEY, VALUE, KvCache, find_kv_caches
from ovpass.passes.kv_quantizers import Namer, quantized
from ovpass.settings.kv_cache import CacheFormat

SWITCHES = "ovpass_kv_caches"
"""The input of a model with switches."""
_NOT_READING = ("Assign", "ShapeOf")
_FIRST = "u8"
"""How tokens of a window that is not full are stored."""


@dataclass(frozen=True)
class EmulateKvCache:
    """Emulate a KV cache that stores keys and values in these formats; None leaves them as they are.

    With `switched` the model gets an input SWITCHES, boolean [caches]: which of those that `find_kv_caches` lists are
    emulated.
    """

    key: CacheFormat | None = None
    value: CacheFormat | None = None
    switched: bool = False
    name: ClassVar[str] = "emulate-kv-cache"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Insert the quantizers.

        Raises:
            PassError: for a model without a cache, of another layout, and for groups that do not divide the head.
        """
        formats = {KEY: self.key, VALUE: self.value}
        counts = {KEY: 0, VALUE: 0}
        caches = find_kv_caches(model)
        keep_lengths(model)
        switches = _switches(model, len(caches)) if self.switched else None
        for number, cache in enumerate(caches):
            if chosen := formats[cache.what]:
                _insert(cache, chosen, None if switches is None else (switches, number))
                counts[cache.what] += 1
        model.validate_nodes_and_infer_types()
        return {"keys": counts[KEY], "values": counts[VALUE]}


def _switches(model: ov.Model, count: int) -> ov.Node:
    switches = op.parameter(ov.PartialShape([count]), np.bool_, name=SWITCHES)
    switches.output(0).set_names({SWITCHES})
    model.add_parameters([switches])
    return switches


def _insert(cache: KvCache, chosen: CacheFormat, switch: tuple[ov.Node, int] | None) -> None:
    name = marker(cache.joined)
    joined, kind = cache.joined.output(0), cache.joined.get_output_element_type(0)
    readers = [port for port in joined.get_target_inputs() if port.get_node().get_type_name() not in _NOT_READING]
    x = joined if kind == ov.Type.f32 else name(op.convert(joined, "f32"), "as_f32").output(0)
    build = _in_windows if chosen.window else _by_token
    y = build(x, chosen, cache.head_size, name)
    if kind != ov.Type.f32:
        y = name(op.convert(y, kind), "as_before")
    before = _element(name(op.shape_of(cache.past, "i64"), "past_shape"), 2, name)
    after = _element(name(op.shape_of(joined, "i64"), "joined_shape"), 2, name)
    kept = name(op.greater(before, _whole(0, name)), "any_past")
    alone = name(op.equal(after, _whole(1, name)), "one_token")
    stored = name(op.logical_or(kept, alone), "from_cache")
    if switch is not None:
        stored = name(op.logical_and(stored, _element(switch[0], switch[1], name)), "switched")
    read = name(op.select(stored, y, joined), "read")
    for port in readers:
        port.replace_source_output(read.output(0))


def _by_token(x: ov.Output, chosen: CacheFormat, head: int, name: Namer) -> ov.Node:
    """Groups of elements of one token's head."""
    group = chosen.group_size or head
    if head % group:
        raise PassError(f"groups of {group} elements do not divide heads of {head}; use {chosen.element_type} alone")
    if group == head:
        return quantized(chosen.element_type, x, -1, head, name)
    split = np.array([0, 0, 0, head // group, group], np.int64)
    groups = name(op.reshape(x, name(op.constant(split), "groups"), True), "split")
    y = quantized(chosen.element_type, groups.output(0), -1, group, name)
    whole = np.array([0, 0, 0, head], np.int64)
    return name(op.reshape(y, name(op.constant(whole), "whole"), True), "whole_heads")


def _in_windows(x: ov.Output, chosen: CacheFormat, head: int, name: Namer) -> ov.Node:
    """Channels of full windows of tokens, of values that were stored in 8 bits before; the rest in 8 bits."""
    assert chosen.window is not None, "asked for by the caller"
    first = quantized(_FIRST, x, -1, head, name).output(0)
    shape = name(op.shape_of(x, "i64"), "shape")
    tokens = _element(shape, 2, name)
    window, zero = _whole(chosen.window, name), _whole(0, name)
    windows = name(op.divide(tokens, window), "windows")
    full = name(op.multiply(windows, window), "full")
    step, axis = _whole(1, name), _whole(2, name)
    # In 8 bits there is one stage only.
    closed = name(op.slice(x if chosen.element_type == _FIRST else first, zero, full, step, axis), "closed")
    rest = name(op.slice(first, full, tokens, step, axis), "rest")
    outer = [_element(shape, index, name) for index in (0, 1)]
    size = _whole(head, name)
    split = name(op.reshape(closed, name(op.concat([*outer, windows, window, size], 0), "in_windows"), False), "split")
    final = quantized(chosen.element_type, split.output(0), -2, chosen.window, name)
    back = name(op.reshape(final, name(op.concat([*outer, full, size], 0), "in_tokens"), False), "tokens")
    return name(op.concat([back, rest], 2), "stored")


def _element(vector: ov.Node, index: int, name: Namer) -> ov.Node:
    return name(op.gather(vector, _whole(index, name), name(op.constant(np.int64(0)), "axis")), f"element_{index}")


def _whole(value: int, name: Namer) -> ov.Node:
    return name(op.constant(np.array([value], np.int64)), f"number_{value}")
