"""Predict the time of a MatMul with and without int8 activations.

    product      = fixed + spread * s(tokens) + tokens * K * N * mac + bytes of weights * weight_byte
                   + tokens * K * input + tokens * N * output
    quantization = fixed + spread * s(tokens) + tokens * K * input
    s(tokens)    = tokens / (tokens + 32)

A site costs one product. An activation costs one quantization, however many sites read it. `spread` is the cost of
starting several threads: nothing for one token, all of it when every thread has rows.
"""

from __future__ import annotations

from ovpass.targets.costs.calibration import EIGHT_BITS, FOUR_BITS, INT8, Calibration, Constants, Shared
from ovpass.targets.costs.work import Work

SPREAD_TOKENS = 32
_DEFAULTS = {"i8": EIGHT_BITS, "u8": EIGHT_BITS, "i4": FOUR_BITS, "u4": FOUR_BITS}


def default_variant(calibration: Calibration, weight_type: str) -> str | None:
    """The variant that a product with such weights is by default, None where it was not calibrated."""
    variant = _DEFAULTS.get(weight_type)
    return variant if variant in calibration.variants else None


def product_time(constants: Constants, work: Work, tokens: int) -> float:
    """Microseconds of one product."""
    return (
        constants.fixed
        + constants.spread * spread(tokens)
        + constants.mac * tokens * work.macs
        + constants.weight_byte * work.weight_bytes
        + constants.input * tokens * work.k
        + constants.output * tokens * work.n
    )


def quantization_time(shared: Shared, k: int, tokens: int) -> float:
    """Microseconds of quantizing an activation [tokens, k] for all int8 products that read it."""
    return shared.fixed + shared.spread * spread(tokens) + shared.input * tokens * k


def expected_ratio(calibration: Calibration, k: int, n: int, tokens: int) -> float:
    """Time of an int8 product with its quantization by the default's, for 8-bit per-channel weights."""
    work = Work.per_channel(k, n)
    int8 = product_time(calibration.variants[INT8], work, tokens) + quantization_time(
        calibration.quantization, k, tokens
    )
    return int8 / product_time(calibration.variants[EIGHT_BITS], work, tokens)


def spread(tokens: int) -> float:
    """The share of the threads' cost that this many tokens have: 0 to 1."""
    return tokens / (tokens + SPREAD_TOKENS)
