"""The op of our own: a MatMul with vector-quantized weights, as OpenVINO reads and writes it in an IR.

It cannot be run from Python: the libraries and kernels of `ovpass.kernels` do that.
"""

from __future__ import annotations

from collections.abc import Sequence

import openvino as ov

OP_TYPE = "VectorQuantizedMatMul"
SHAPE = ("k", "n", "d", "entries", "books")
"""The attributes: columns, rows, vector length, entries of a codebook, codebooks."""


class VectorQuantizedMatMul(ov.Op):  # type: ignore[misc]
    """activation [..., K], weights u8 -> [..., N]. Weights lie as `ovpass/kernels/packing.py` packs them."""

    def __init__(self, inputs: Sequence[ov.Output] | None = None, **shape: int) -> None:
        self._shape = {name: shape.get(name, 0) for name in SHAPE}
        super().__init__(self, inputs)

    def validate_and_infer_types(self) -> None:
        """The activation's type and shape, with N last."""
        given = self.get_input_partial_shape(0)
        if given.rank.is_static:
            given[len(given) - 1] = ov.Dimension(self._shape["n"])
        self.set_output_type(0, self.get_input_element_type(0), given)

    def clone_with_new_inputs(self, new_inputs: Sequence[ov.Output]) -> VectorQuantizedMatMul:
        """The same for other inputs."""
        return VectorQuantizedMatMul(new_inputs, **self._shape)

    def visit_attributes(self, visitor: ov.AttributeVisitor) -> bool:
        """Read or write the attributes."""
        visitor.on_attributes(self._shape)
        return True


def new_core() -> ov.Core:
    """A Core that reads IRs with the op."""
    core = ov.Core()
    core.add_extension(VectorQuantizedMatMul)
    return core
