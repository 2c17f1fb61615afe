"""What a number format of weights is: how it is recognised, encoded, decoded and written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ovpass.formats.chain import ConstantInput, WeightChain

if TYPE_CHECKING:
    import openvino as ov

    from ovpass.ir.graph import Array


@dataclass(frozen=True)
class Encoding:
    """A format with its parameters. Types are OpenVINO's element types by their names in an IR.

    `format` is a key of FORMATS. `element_type` is that of the codes. `group_size` is the number of elements of K that
    share a scale (and a zero point), None for all of K. `scale_type` is the type of the scales; those in `f8e4m3` have
    one f32 scale for the whole tensor besides, as NVFP4 has it. `table` are the values of a codebook, ascending, and
    `table_type` their type.
    """

    format: str
    element_type: str
    group_size: int | None = None
    symmetric: bool = True
    scale_type: str = "f16"
    table: tuple[float, ...] = ()
    table_type: str = "f16"


@dataclass(frozen=True)
class EncodedWeights:
    """Weights [..., N, K] in a format, as NumPy arrays.

    `codes` [..., N, K] are the integers that are stored; of a floating-point type they are its bit patterns, of a
    codebook the indices into the table. `scale` is f32 [..., N, K / group size], the stored numbers exactly; None where
    there is none. `zero_point` holds integers in the shape of `scale`, or one for all; None without one. Zero points in
    f16 or f32 are stored in that type. `tensor_scale` is one f32 number by which every scale is multiplied, where
    scales are stored in f8e4m3.
    """

    encoding: Encoding
    codes: Array
    scale: Array | None
    zero_point: Array | None = None
    tensor_scale: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the weights, [..., N, K]."""
        return tuple(self.codes.shape)

    @property
    def whole_zero_points(self) -> bool:
        """Whether zero points are integers, or none: devices quantize activations for no others."""
        return self.zero_point is None or self.zero_point.dtype.kind != "f"

    @property
    def groups(self) -> int:
        """How many scales, or zero points, there are along K."""
        stored = (self.scale, self.zero_point)
        return max((int(each.shape[-1]) for each in stored if each is not None and each.ndim), default=1)


@dataclass(frozen=True)
class ChainForm:
    """How a decompression chain is written.

    The Constant of the codes is called `codes`, every other op `steps` and its role, such as `scale`. `compute` is the
    element type of the arithmetic, `output` the one that the MatMul reads. `transposed` weights are stored and read as
    [..., K, N].
    """

    codes: str
    steps: str
    compute: str = "f16"
    output: str = "f32"
    transposed: bool = False


@dataclass(frozen=True)
class Format:
    """A number format of weights.

    `recognize` gets a constant input of a MatMul and returns its chain, None where the weights are in another format.
    `encode` gets weights [..., N, K] in f32, all finite, and returns the nearest that the encoding holds; it raises
    ValueError for an encoding that does not exist, and for a K that groups do not divide. `decode` returns the weights
    [..., N, K] in f32, with every step of the arithmetic in f32. `write` makes the decompression chain in public ops.
    An `affine` format is (code - zero point) * scale: the element type and the groups say all of it, and plugins can
    keep such weights compressed. `write_together` makes the chains of several matrices, where these can have constants
    in common.
    """

    recognize: Callable[[ConstantInput], WeightChain | None]
    encode: Callable[[Array, Encoding], EncodedWeights]
    decode: Callable[[EncodedWeights], Array]
    write: Callable[[EncodedWeights, ChainForm], ov.Output]
    affine: bool = False
    write_together: Callable[[Sequence[EncodedWeights], Sequence[ChainForm]], list[ov.Output]] | None = None

    def write_all(self, encoded: Sequence[EncodedWeights], forms: Sequence[ChainForm]) -> list[ov.Output]:
        """The chains of matrices of one encoding; what they have in common is written once."""
        if self.write_together is not None:
            return self.write_together(encoded, forms)
        return [self.write(own, form) for own, form in zip(encoded, forms, strict=True)]
