"""The work of a site: multiply-accumulates and bytes read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ovpass.sites import CompressedMatMul

_BITS = re.compile(r"[a-z]+(\d+)")  # f8e4m3 and bf16 alike begin with the kind and then the bits
_SCALE_BYTES = 4  # f32, as ovpass re-quantizes


@dataclass(frozen=True)
class Work:
    """A product of activations [tokens, `k`] and weights [`n`, `k`].

    `weight_bytes` are those of the weights as they lie in memory, scales and zero points included.
    """

    k: int
    n: int
    weight_bytes: float

    @property
    def macs(self) -> int:
        """Multiply-accumulates a token."""
        return self.k * self.n

    @classmethod
    def per_channel(cls, k: int, n: int) -> Work:
        """Weights in 8 bits with one f32 scale a channel."""
        return cls(k, n, k * n + _SCALE_BYTES * n)


def site_work(site: CompressedMatMul) -> Work:
    """The work of a site with its weights as they are stored."""
    return Work(site.k, site.n, weight_bytes(site))


def weight_bytes(site: CompressedMatMul) -> float:
    """Bytes of the codes, scales and zero points of a site; the tables of codebooks are small and left out."""
    operands = (*site.weights.scales, *site.weights.zero_points)
    codes = [(site.graph.element_type(each), site.graph.shape(each) or ()) for each in site.weights.codes]
    parts = [*codes, *((operand.element_type, operand.shape) for operand in operands)]
    return sum(element_bits(element_type) * math.prod(shape) for element_type, shape in parts) / 8


def element_bits(element_type: str) -> int:
    """Bits of an element of an OpenVINO type by its name, `u4` or `bf16`."""
    found = _BITS.match(element_type)
    if found is None:
        raise ValueError(f"{element_type!r} is not a number type")
    return int(found[1])
