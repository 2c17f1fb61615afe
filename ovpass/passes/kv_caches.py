"""Find the states of a model that hold keys and values."""

from __future__ import annotations

from dataclasses import dataclass

import openvino as ov

from ovpass.errors import PassError

KEY, VALUE = "key", "value"
_PORTS = {1: KEY, 2: VALUE}
"""Inputs of ScaledDotProductAttention."""
_PASSED = ("Gather", "Convert")
_FORWARD = ("Unsqueeze", "Broadcast", "Reshape", "Convert", "Transpose", "Concat", "Multiply", "Add")
_TOKENS = -2


@dataclass(frozen=True)
class KvCache:
    """Keys or values of one attention: where `past` [batch, heads, tokens, head size] is joined with new ones.

    `layer` counts the attentions with a cache, from 0.
    """

    what: str
    layer: int
    past: ov.Output
    joined: ov.Node

    @property
    def head_size(self) -> int:
        """Elements of a head.

        Raises:
            PassError: if it is not known.
        """
        return self._length(3, "the size of a head")

    @property
    def heads(self) -> int:
        """Heads of a token.

        Raises:
            PassError: if it is not known.
        """
        return self._length(1, "the number of heads")

    def _length(self, axis: int, what: str) -> int:
        for shape in (self.joined.get_output_partial_shape(0), self.past.get_partial_shape()):
            if shape[axis].is_static:
                return int(shape[axis].get_length())
        raise PassError(f"{self.joined.get_friendly_name()}: {what} is not known")


def find_kv_caches(model: ov.Model) -> list[KvCache]:
    """All caches, in the order in which the model executes them.

    Raises:
        PassError: for a model without a cache, or of another layout.
    """
    order = {node.get_name(): number for number, node in enumerate(model.get_ordered_ops())}
    found = []
    for node in model.get_ordered_ops():
        if node.get_type_name() != "ReadValue":
            continue
        past = node.output(0)
        joined = _join(past)
        while joined is None and (further := _only(past)):
            past = further.output(0)
            joined = _join(past)
        if joined is not None:
            found.append((order[joined.get_name()], _kind(joined, node), past, joined))
    if not found:
        raise PassError("the model keeps no keys and values in states that are joined with new ones along the tokens")
    found.sort(key=lambda entry: entry[0])
    layers = {KEY: 0, VALUE: 0}
    caches = []
    for _, kind, past, joined in found:
        caches.append(KvCache(kind, layers[kind], past, joined))
        layers[kind] += 1
    return caches


def _only(output: ov.Output) -> ov.Node | None:
    """The op that passes a past on: it reorders beams, or changes the type."""
    readers = [port.get_node() for port in output.get_target_inputs() if port.get_index() == 0]
    return next((node for node in readers if node.get_type_name() in _PASSED), None)


def _join(past: ov.Output) -> ov.Node | None:
    for port in past.get_target_inputs():
        node = port.get_node()
        rank = past.get_partial_shape().rank
        if node.get_type_name() == "Concat" and port.get_index() == 0 and rank.is_static and rank.get_length() == 4:
            return node if node.get_attributes()["axis"] in (_TOKENS, rank.get_length() + _TOKENS) else None
    return None


def _kind(joined: ov.Node, state: ov.Node) -> str:
    """Whether keys or values: by the input of attention that they reach, else by the name of the state."""
    queue, seen = [joined], set()
    while queue:
        for port in queue.pop(0).output(0).get_target_inputs():
            node = port.get_node()
            if node.get_type_name() == "ScaledDotProductAttention" and port.get_index() in _PORTS:
                return _PORTS[port.get_index()]
            if node.get_type_name() in _FORWARD and node.get_name() not in seen:
                seen.add(node.get_name())
                queue.append(node)
    identity = str(state.get_attributes().get("variable_id", "")).lower()
    if (KEY in identity.rpartition(".")[2]) != (VALUE in identity.rpartition(".")[2]):
        return KEY if KEY in identity.rpartition(".")[2] else VALUE
    raise PassError(f"state {identity or state.get_friendly_name()}: cannot tell whether it holds keys or values")
