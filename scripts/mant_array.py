"""A cycle model of a systolic array for M-ANT, beside arrays for 8-bit and 16-bit types of the same area.

    python scripts/mant_array.py

It is a roofline: a product takes the larger of the cycles of its multiply-accumulates and of its bytes. A processing
element of M-ANT multiplies an 8-bit activation by a 4-bit code (MAC) and shifts the same activation for 2^i (SAC) in
one cycle; a group ends with one multiplication of the first sum by a and one by the scale, for which an accumulator at
the end of each column has `GROUP` cycles, so that they are hidden. The assumptions are the constants below.
"""

from __future__ import annotations

from dataclasses import dataclass

from ovpass.cli.output import print_table

ELEMENTS = 4096
"""Processing elements of an 8 x 4 bit multiplier and a shifter, in an array of 64 x 64."""
BYTES_PER_CYCLE = 128
"""From memory: 128 GB/s at 1 GHz."""
GROUP = 64
WINDOW = 64


@dataclass(frozen=True)
class Design:
    """Bits of weights and of keys and values with all that belongs to them; multipliers in areas of one of 8 x 4."""

    name: str
    weight_bits: float
    cache_bits: float
    linear_area: float
    attention_area: float


MANT = Design("M-ANT, 4-bit cache", 4 + 20 / GROUP, 4 + 20 / WINDOW, 1, 1)
DESIGNS = (
    MANT,
    Design("4-bit weights, f16 cache", 4 + 20 / GROUP, 16, 1, 4),
    Design("8-bit weights, f16 cache", 8, 16, 2, 4),
    Design("the same, fused", 8, 16, 2, 8),
    Design("f16", 16, 16, 4, 4),
)
"""A multiplier of f16 takes the area of four; 16 by 16 bits that are fused of elements of 8 x 4 take eight of them."""


@dataclass(frozen=True)
class Model:
    """A decoder: elements of a token's hidden state, of a feed-forward layer, of keys, and the number of blocks."""

    name: str
    hidden: int
    feed_forward: int
    keys: int
    blocks: int

    @property
    def weights(self) -> int:
        """Of all blocks, with a gated feed-forward layer."""
        return self.blocks * (2 * self.hidden * (self.hidden + self.keys) + 3 * self.hidden * self.feed_forward)


LLAMA = Model("LLaMA-7B", 4096, 11008, 4096, 32)


def cycles(design: Design, model: Model, tokens: int, context: int) -> float:
    """For `tokens` new tokens, the last of which sees `context`."""
    linear = _product(tokens * model.weights, model.weights * design.weight_bits, design.linear_area)
    seen = tokens * (context - (tokens - 1) / 2)
    products = 2 * seen * model.hidden * model.blocks
    cached = 2 * context * model.keys * model.blocks
    return linear + _product(products, cached * design.cache_bits, design.attention_area)


def _product(multiplications: float, bits: float, area: float) -> float:
    return max(multiplications * area / ELEMENTS, bits / 8 / BYTES_PER_CYCLE)


def main() -> None:
    cases = [("prefill", length, length) for length in (2048, 8192, 32768)]
    cases += [("token", 1, length) for length in (2048, 8192, 32768, 131072)]
    rows = []
    for what, tokens, context in cases:
        own = cycles(MANT, LLAMA, tokens, context)
        others = [f"{cycles(design, LLAMA, tokens, context) / own:.2f}" for design in DESIGNS[1:]]
        rows.append((f"{what}, context {context}", f"{own / 1e6:.1f}", *others))
    print(f"{LLAMA.name}: million cycles of M-ANT, and how many times that others take.")
    print_table(("", "M-ANT", *(design.name for design in DESIGNS[1:])), rows, numeric=("M-ANT",))


if __name__ == "__main__":
    main()
