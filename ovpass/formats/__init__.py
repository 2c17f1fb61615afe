"""Number formats of weights."""

from __future__ import annotations

from ovpass.formats.base import Format
from ovpass.formats.chain import ConstantInput, WeightChain
from ovpass.formats.codebook import CODEBOOK
from ovpass.formats.floating import FLOAT
from ovpass.formats.integer import INTEGER
from ovpass.formats.mant import MANT
from ovpass.formats.vector import VECTOR
from ovpass.ir.graph import Graph

FORMATS: dict[str, Format] = {
    "integer": INTEGER,
    "float": FLOAT,
    "vector": VECTOR,
    "codebook": CODEBOOK,
    "mant": MANT,
}
"""By name; a constant is in the first of them that recognizes it."""


def recognize(graph: Graph, source: int, k_axis: int) -> WeightChain | None:
    """The chain of the constant op `source`, an input of a MatMul; None where it is no weights in a known format.

    `k_axis` is the axis that the MatMul sums over, as it reads the weights (negative).
    """
    given = ConstantInput(graph, source, k_axis)
    found = (known.recognize(given) for known in FORMATS.values())
    return next((chain for chain in found if chain is not None), None)
