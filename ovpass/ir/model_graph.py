"""Build a Graph from an `ov.Model`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openvino as ov

from ovpass.ir.graph import Graph, Shape

if TYPE_CHECKING:
    from ovpass.ir.graph import Array

PRECISE = "DisablePrecisionConversion"
"""How the runtime info key begins under which OpenVINO keeps the IR's `precise` attribute."""


class ModelGraph(Graph):
    """Reads what is asked for from the model's nodes, which it keeps alive."""

    def __init__(self, model: ov.Model) -> None:
        self._ops = model.get_ordered_ops()
        position = {op.get_name(): index for index, op in enumerate(self._ops)}
        inputs = [[(position[v.get_node().get_name()], v.get_index()) for v in op.input_values()] for op in self._ops]
        super().__init__([op.get_type_name() for op in self._ops], inputs)

    def name(self, index: int) -> str:
        return str(self._ops[index].get_friendly_name())

    def shape(self, index: int, port: int = 0) -> Shape | None:
        shape = self._ops[index].get_output_partial_shape(port)
        if shape.is_static:
            return tuple(self._ops[index].get_output_shape(port))
        if shape.rank.is_dynamic:
            return None
        return tuple(dimension.get_length() if dimension.is_static else -1 for dimension in shape)

    def element_type(self, index: int, port: int = 0) -> str:
        return str(self._ops[index].get_output_element_type(port).to_string())

    def transposed(self, index: int, port: int) -> bool:
        return bool(self._ops[index].get_attributes()["transpose_b" if port else "transpose_a"])

    def levels(self, index: int) -> int:
        return int(self._ops[index].get_attributes()["levels"])

    def variable(self, index: int) -> str:
        return str(self._ops[index].get_attributes()["variable_id"])

    def integers(self, index: int) -> list[int]:
        return [int(value) for value in self._ops[index].get_data().flatten()]

    def values(self, index: int) -> Array:
        data: Array = self._ops[index].data
        return data

    def precise(self, index: int) -> bool:
        return any(key.startswith(PRECISE) for key in self._ops[index].get_rt_info())

    def bodies(self, index: int) -> list[tuple[str, Graph]]:
        return [(name, ModelGraph(body)) for name, body in bodies_of(self._ops[index])]

    def node(self, index: int) -> ov.Node:
        return self._ops[index]


def bodies_of(op: ov.Node) -> list[tuple[str, ov.Model]]:
    """The named bodies of an If, Loop or TensorIterator; none for any other op."""
    kind = op.get_type_name()
    if kind == "If":
        return [("then_body", op.get_function(0)), ("else_body", op.get_function(1))]
    if kind == "Loop":
        return [("body", op.get_function())]
    if kind == "TensorIterator":
        return [("body", op.get_body())]
    return []
