"""A model, or one body of it, as plain lists of integers: quick to walk many times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import openvino as ov

# Results of these never count as constant, whatever feeds them.
_STATEFUL = {"Parameter", "ReadValue", "Assign", "Result", "If", "Loop", "TensorIterator"}


@dataclass
class Graph:
    """Ops in topological order and their edges, as indices into `ops`.

    `inputs[i]` holds `(producer index, output port)` for each input port of op i; `consumers[i]` the ops that
    read any output of op i; `constant[i]` is true where the values of op i come from Constants alone.
    """

    ops: list[ov.Node]
    types: list[str]
    inputs: list[list[tuple[int, int]]]
    consumers: list[list[int]] = field(init=False)
    constant: list[bool] = field(init=False)

    def __post_init__(self) -> None:
        self.consumers = [[] for _ in self.ops]
        self.constant = []
        for index, sources in enumerate(self.inputs):
            for producer, _ in sources:
                self.consumers[producer].append(index)
            kind = self.types[index]
            # The ONNX frontend takes the shape of grouped weights from the activation; the data is constant.
            data = sources[:1] if kind == "Reshape" else sources
            folds = bool(data) and kind not in _STATEFUL
            self.constant.append(kind == "Constant" or (folds and all(self.constant[producer] for producer, _ in data)))

    @classmethod
    def of(cls, model: ov.Model) -> Graph:
        """Read the edges of `model`; bodies of If, Loop and TensorIterator are not entered."""
        ops = model.get_ordered_ops()
        position = {op.get_name(): index for index, op in enumerate(ops)}
        inputs = []
        for op in ops:
            values = op.input_values()
            inputs.append([(position[v.get_node().get_name()], v.get_index()) for v in values])
        return cls(ops, [op.get_type_name() for op in ops], inputs)

    def upstream(self, starts: Iterable[int], enter: Callable[[int], bool]) -> list[int]:
        """Ops reached against the edges from `starts`; an op that `enter` refuses is listed, not passed."""
        return self._walk(starts, enter, lambda i: [producer for producer, _ in self.inputs[i]])

    def downstream(self, starts: Iterable[int], enter: Callable[[int], bool]) -> list[int]:
        """Ops reached along the edges from `starts`; an op that `enter` refuses is listed, not passed."""
        return self._walk(starts, enter, lambda i: self.consumers[i])

    def _walk(self, starts: Iterable[int], enter: Callable[[int], bool], step: Callable[[int], list[int]]) -> list[int]:
        seen: dict[int, None] = dict.fromkeys(starts)
        queue = list(seen)
        while queue:
            index = queue.pop()
            if not enter(index):
                continue
            for other in step(index):
                if other not in seen:
                    seen[other] = None
                    queue.append(other)
        return list(seen)


def bodies(op: ov.Node) -> list[tuple[str, ov.Model]]:
    """The named bodies of an If, Loop or TensorIterator; none for any other op."""
    kind = op.get_type_name()
    if kind == "If":
        return [("then_body", op.get_function(0)), ("else_body", op.get_function(1))]
    if kind == "Loop":
        return [("body", op.get_function())]
    if kind == "TensorIterator":
        return [("body", op.get_body())]
    return []
