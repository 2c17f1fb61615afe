"""Activations of rank 3, [batch, tokens, features], where llama.cpp has [1, 1, tokens, features].

Plugins quantize activations of rank 2 and 3 alone. From the embedding on, values keep rank 3 as long as ops do not tell
axes apart by numbers; the others get [batch, 1, tokens, features].
"""

from __future__ import annotations

import openvino as ov
from openvino import opset13 as op

from ovpass.conversion.gguf_frontend.inputs import Inputs
from ovpass.conversion.gguf_frontend.nodes import constant, consumers, integers, parameter, redirect

_ANY_RANK = {
    "Abs", "Add", "Clamp", "Convert", "Divide", "Elu", "Exp", "Gelu", "Maximum", "Minimum", "Multiply", "Negative",
    "Power", "Relu", "Sigmoid", "Sqrt", "Subtract", "Swish", "Tanh", "SoftPlus", "Result",
}  # fmt: skip
_LAST_AXIS = {"ReduceMean": 1, "ReduceSum": 1, "Split": 1, "VariadicSplit": 1, "Slice": 4}
"""Ops that work on the last axis if the constant at that input says -1."""

Key = tuple[str, int]


class Trunk:
    """The values of rank 3; ops are visited in topological order."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._shapes: dict[Key, ov.PartialShape] = {}
        self._flat: set[Key] = set()

    def flatten(self, model: ov.Model) -> None:
        """Make them of rank 3, all in the model that can be."""
        ops = model.get_ordered_ops()
        self._shapes = {_key(out): out.get_partial_shape() for node in ops for out in node.outputs()}
        self._embed(model)
        for node in ops:
            if node.get_type_name() not in ("Constant", "Parameter"):
                self._visit(node)

    def _embed(self, model: ov.Model) -> None:
        """Look up input_ids [batch, tokens] themselves."""
        tokens = parameter(model, "inp_tokens")
        for squeezed in consumers(tokens.output(0)) if tokens else []:
            for gather in consumers(squeezed.output(0)):
                gather.input(1).replace_source_output(op.convert(self._inputs.ids, "i32").output(0))
                for back in consumers(gather.output(0)):
                    redirect(back.output(0), gather.output(0))
                    self._flat.add(_key(gather.output(0)))

    def _visit(self, node: ov.Node) -> None:
        if node.get_type_name() == "Reshape" and self._merges(node):
            features = constant(int(self._shapes[_key(node.output(0))][-1].get_length()))
            node.input(1).replace_source_output(op.concat([self._inputs.shape, features], 0).output(0))
            self._flat.add(_key(node.output(0)))
            return
        ports = [port for port in node.inputs() if _key(port.get_source_output()) in self._flat]
        if not ports:
            return
        if node.get_type_name() == "Reshape" and _splits(node):
            return
        if self._any_rank(node) and not self._beside_heads(node):
            self._flat.update(_key(out) for out in node.outputs())
            return
        axis = 2 if self._beside_heads(node) else 1
        for port in ports:
            port.replace_source_output(op.unsqueeze(port.get_source_output(), constant(axis)).output(0))

    def _merges(self, node: ov.Node) -> bool:
        """[..., tokens, heads, D], or what else there is of a token, to [1, 1, tokens, features]."""
        shape = self._shapes.get(_key(node.output(0)))
        target = integers(node.input_value(1))
        return shape is not None and len(shape) == 4 and target is not None and target[1:3] == [1, -1]

    def _any_rank(self, node: ov.Node) -> bool:
        kind = node.get_type_name()
        if kind == "MatMul":
            return len(node.input_value(1).get_partial_shape()) == 2
        if kind in _LAST_AXIS:
            return integers(node.input_value(_LAST_AXIS[kind])) == [-1]
        return kind in _ANY_RANK

    def _beside_heads(self, node: ov.Node) -> bool:
        """Whether another input is [1, tokens, heads, D]: a single head that was not given its axis."""
        shapes = (self._shapes.get(_key(port.get_source_output())) for port in node.inputs())
        return any(shape is not None and len(shape) == 4 and shape[1].is_dynamic for shape in shapes)


def _splits(node: ov.Node) -> bool:
    """To [batch, tokens, heads, D], or to rows of tokens, in a way that fits both ranks."""
    target = integers(node.input_value(1))
    return target is not None and (target[:2] == [0, -1] or 0 not in target)


def _key(output: ov.Output) -> Key:
    return output.get_node().get_friendly_name(), output.get_index()
