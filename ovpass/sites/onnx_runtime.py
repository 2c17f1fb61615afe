"""Find MatMuls that ONNX Runtime quantizes dynamically, as OpenVINO's ONNX frontend writes them.

The graph itself quantizes the activation: u8 with a zero point, one scale for the whole tensor, from ReduceMin and
ReduceMax (DynamicQuantizeLinear). The weights are 8-bit integers. There are two forms. MatMulInteger multiplies
integers and applies both scales afterwards. MatMulIntegerToFloat dequantizes both operands and multiplies floats.
OpenVINO has no kernel for the first: it computes it in f32, and unpacks the weights to f32.

A match computes nothing else: it subtracts the zero point that the quantizer adds, and its scales undo the quantizer's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ovpass.formats.base import EncodedWeights
from ovpass.formats.integer import in_8_bits
from ovpass.ir.graph import Graph, Shape

if TYPE_CHECKING:
    from ovpass.ir.graph import Array

_FLOATS = ("f16", "f32")
_LEVELS = 255
_CODES = ("i8", "u8", "i32")  # constant folding leaves i32


@dataclass(frozen=True)
class NonCanonical:
    """One such MatMul; ints are indices into `graph`.

    `output` is the op that gives the product in floating point, `source` the activation before it is quantized.
    `codes` is the Constant of the weights, `zero_point` that of theirs, `scale` the constant op that they are
    multiplied by, for the tensor or for each channel. `channel_axis` is that of the weights' N.
    """

    graph: Graph
    matmul: int
    output: int
    source: tuple[int, int]
    codes: int
    zero_point: int | None
    scale: int
    channel_axis: int

    @property
    def of_integers(self) -> bool:
        """Whether the product itself is of integers."""
        return self.matmul != self.output

    @property
    def channels(self) -> Shape:
        """The shape of what there is one of for each channel, [1, N] or [N, 1]."""
        return tuple(size if axis == self.channel_axis else 1 for axis, size in enumerate(self.shape))

    @property
    def shape(self) -> Shape:
        """The weights', [K, N] or [N, K]."""
        return self.graph.shape(self.codes) or ()

    def along_channels(self, values: Array) -> Array:
        """One value, or one for each channel, so that it broadcasts against the weights."""
        return values.reshape((-1, 1) if self.channel_axis == 0 else (1, -1))

    def stored(self) -> EncodedWeights | None:
        """The weights [N, K] as 8-bit codes with the fewest operands; None where 8 bits do not hold them.

        Reads them all.
        """
        weights = self.graph.values(self.codes).astype("int32")
        if self.zero_point is not None:
            weights = weights - self.along_channels(self.graph.values(self.zero_point).astype("int32"))
        return in_8_bits(weights if self.channel_axis == 0 else weights.T)

    @cached_property
    def form(self) -> tuple[str, bool] | None:
        """What `stored` gives: element type, whether there is a zero point. Reads the weights only if it must."""
        if self.graph.element_type(self.codes) == "i8":
            zero_point = None if self.zero_point is None else self.graph.values(self.zero_point)
            if zero_point is None or not zero_point.any():
                return "i8", False
        stored = self.stored()
        return None if stored is None else (stored.encoding.element_type, stored.zero_point is not None)


def find_noncanonical(graph: Graph) -> Iterator[NonCanonical]:
    """All of them in one graph, bodies aside, in topological order."""
    for index, kind in enumerate(graph.types):
        if kind == "MatMul" and graph.constant[graph.inputs[index][1][0]]:
            try:
                found = _Match(graph, index).found()
            except _MismatchError:
                continue
            if found.form is not None:
                yield found


class _MismatchError(Exception):
    """The graph is not of the form looked for."""


@dataclass(frozen=True)
class _Quantizer:
    """A DynamicQuantizeLinear: what it quantizes, and the op that computes high - low of it."""

    source: tuple[int, int]
    range: int


class _Match:
    """Looks at one MatMul with constant weights; every step raises where an op is not the one expected."""

    def __init__(self, graph: Graph, matmul: int) -> None:
        self._graph = graph
        self._matmul = matmul

    def found(self) -> NonCanonical:
        data, weights = (producer for producer, _ in self._graph.inputs[self._matmul][:2])
        if self._graph.element_type(self._matmul) == "i32":
            quantizer = self._quantizer(data)
            output, scale = self._scaled(quantizer)
            integers = weights
        else:
            self._expect(data, "Multiply")
            quantizer = self._quantizer(self._typed_input(data, "Subtract"))
            self._expect_scale(self._other(data, "Subtract"), quantizer)
            output = self._matmul
            self._expect(weights, "Multiply")
            integers, scale = self._sorted_operands(weights)
        return self._noncanonical(output, quantizer, integers, scale)

    def _noncanonical(self, output: int, quantizer: _Quantizer, integers: int, scale: int) -> NonCanonical:
        codes, zero_point = self._integers(integers)
        transposed = self._graph.transposed(self._matmul, 1)
        found = NonCanonical(
            self._graph, self._matmul, output, quantizer.source, codes, zero_point, scale, 0 if transposed else 1
        )
        types = {self._graph.element_type(output), self._graph.element_type(*quantizer.source)}
        if len(types) > 1 or not types <= set(_FLOATS) or not self._fits(found):
            raise _MismatchError
        return found

    def _fits(self, found: NonCanonical) -> bool:
        """Whether the weights are a matrix, scale and zero point one or one a channel, and the scaled product as is.

        The product with a vector has one dimension, and a scale of [1, N] makes it two.
        """
        if len(found.shape) != 2 or 0 in found.shape:
            return False
        if self._graph.shape(found.output) != self._graph.shape(found.matmul):
            return False
        channels = found.shape[found.channel_axis]
        in_weights = found.channel_axis - 2
        scaled = self._varies_along(found.scale, -1 if found.of_integers else in_weights, channels)
        return scaled and (found.zero_point is None or self._varies_along(found.zero_point, in_weights, channels))

    def _varies_along(self, index: int, axis: int, size: int) -> bool:
        """Whether an operand is one number, or `size` numbers along that axis of what it is applied to."""
        shape = self._graph.shape(index) or ()
        return all(length == 1 or (i, length) == (axis, size) for i, length in enumerate(shape, -len(shape)))

    # the weights -----------------------------------------------------------------------------------------

    def _integers(self, index: int) -> tuple[int, int | None]:
        """The Constants of codes and zero point."""
        zero_point = None
        if self._graph.types[index] == "Subtract":
            index, subtracted = (producer for producer, _ in self._graph.inputs[index])
            zero_point = self._stored(subtracted)
        return self._stored(index), zero_point

    def _stored(self, index: int) -> int:
        index = self._bare(index)
        self._expect(index, "Constant")
        if self._graph.element_type(index) not in _CODES:
            raise _MismatchError
        return index

    def _sorted_operands(self, multiply: int) -> tuple[int, int]:
        """The integers and the scale that a Multiply of constants puts together."""
        left, right = (producer for producer, _ in self._graph.inputs[multiply])
        whole = self._graph.shape(multiply)
        return (left, right) if self._graph.shape(left) == whole else (right, left)

    def _scaled(self, quantizer: _Quantizer) -> tuple[int, int]:
        """The op that gives the product of integers in floating point, and the scale of the weights.

        Both scales can be multiplied first, or one after the other, in either order.
        """
        product = self._sole_consumer(self._matmul, "Convert")
        output = self._sole_consumer(product, "Multiply")
        factor = self._beside(output, product)
        if self._graph.constant[factor] or self._is_scale(factor, quantizer):
            product, output = output, self._sole_consumer(output, "Multiply")
            factors = [factor, self._beside(output, product)]
        else:
            self._expect(factor, "Multiply")
            factors = [producer for producer, _ in self._graph.inputs[factor]]
        constants = [i for i in factors if self._graph.constant[i]]
        computed = [i for i in factors if not self._graph.constant[i]]
        if len(constants) != 1:
            raise _MismatchError
        self._expect_scale(computed[0], quantizer)
        return output, constants[0]

    # the activation --------------------------------------------------------------------------------------

    def _quantizer(self, index: int) -> _Quantizer:
        """The quantizer of codes from which their zero point is subtracted.

        codes = Clamp(Round(x * 255 / range) + zero point), range = Maximum(0, ReduceMax(x)) - Minimum(0, ReduceMin(x))
        """
        self._expect(index, "Subtract")
        codes, subtracted = (self._bare(producer) for producer, _ in self._graph.inputs[index])
        self._expect(codes, "Clamp")
        shifted = self._typed_input(codes, "Add")
        if self._bare(self._other(shifted, "Round")) != subtracted:
            raise _MismatchError
        divided = self._typed_input(self._typed_input(shifted, "Round"), "Divide")
        scaled, span = (producer for producer, _ in self._graph.inputs[divided])
        self._expect(span, "Subtract")
        high = self._typed_input(self._typed_input(span, "Maximum"), "ReduceMax")
        low = self._typed_input(self._typed_input(span, "Minimum"), "ReduceMin")
        source = self._graph.inputs[high][0]
        whole = self._graph.shape(high) == self._graph.shape(low) == ()
        if not whole or self._graph.inputs[low][0] != source or not self._stretched(scaled, source):
            raise _MismatchError
        return _Quantizer(source, span)

    def _stretched(self, index: int, source: tuple[int, int]) -> bool:
        """Whether an op is the source times 255."""
        sources = self._graph.inputs[index]
        if self._graph.types[index] != "Multiply" or source not in sources:
            return False
        return self._number(self._beside(index, source[0])) == _LEVELS

    def _is_scale(self, index: int, quantizer: _Quantizer) -> bool:
        """Whether an op is range / 255, of which optimizations make range * (1 / 255)."""
        kind, sources = self._graph.types[index], [producer for producer, _ in self._graph.inputs[index]]
        if quantizer.range not in sources:
            return False
        number = self._number(self._beside(index, quantizer.range))
        if not number:
            return False
        if kind == "Divide" and sources[0] == quantizer.range:
            return number == _LEVELS
        return kind == "Multiply" and abs(1 / number - _LEVELS) < 0.5  # it can be in half precision

    def _expect_scale(self, index: int, quantizer: _Quantizer) -> None:
        if not self._is_scale(index, quantizer):
            raise _MismatchError

    # steps -----------------------------------------------------------------------------------------------

    def _expect(self, index: int, kind: str) -> None:
        if self._graph.types[index] != kind:
            raise _MismatchError

    def _number(self, index: int) -> float | None:
        """The value of a constant of one element, nothing folded yet; None for any other op."""
        kind, sources = self._graph.types[index], [producer for producer, _ in self._graph.inputs[index]]
        if kind == "Constant":
            single = self._graph.element_type(index) in _FLOATS and math.prod(self._graph.shape(index) or ()) == 1
            return float(self._graph.values(index).reshape(())) if single else None
        if kind == "Convert":
            return self._number(sources[0])
        if kind == "Subtract":  # of the least code from the largest
            left, right = (self._number(source) for source in sources)
            return None if left is None or right is None else left - right
        return None

    def _bare(self, index: int) -> int:
        while self._graph.types[index] == "Convert":
            index = self._graph.inputs[index][0][0]
        return index

    def _typed_input(self, index: int, kind: str) -> int:
        """The only input of that type."""
        found = [producer for producer, _ in self._graph.inputs[index] if self._graph.types[producer] == kind]
        if len(found) != 1:
            raise _MismatchError
        return found[0]

    def _other(self, index: int, kind: str) -> int:
        """The input beside the only one of that type."""
        return self._beside(index, self._typed_input(index, kind))

    def _beside(self, index: int, known: int) -> int:
        """The input beside a known one."""
        return next((producer for producer, _ in self._graph.inputs[index] if producer != known), known)

    def _sole_consumer(self, index: int, kind: str) -> int:
        if [self._graph.types[i] for i in self._graph.consumers[index]] != [kind]:
            raise _MismatchError
        return self._graph.consumers[index][0]
