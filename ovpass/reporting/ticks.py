"""Choose the tick labels of a logarithmic axis."""

from __future__ import annotations

import math

_FEWEST, _MOST = 3, 8
_STEPS: tuple[tuple[int, ...], ...] = ((1,), (1, 2, 5), tuple(range(1, 10)))


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round numbers from `low` to `high`, above 0, and how they are written."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in _STEPS:
        values = [float(f"{step}e{exponent}") for exponent in exponents for step in steps]
        ticks = [value for value in values if low <= value <= high]
        if len(ticks) >= _FEWEST:
            return [(tick, _written(tick, 1)) for tick in ticks[:: math.ceil(len(ticks) / _MOST)]]
    return _even(low, high)


def _even(low: float, high: float) -> list[tuple[float, str]]:
    """Evenly spaced ones, for less than what 1 and 3 are apart."""
    exponent = math.floor(math.log10(high - low))
    steps = [(float(f"{step}e{place}"), place) for place in (exponent - 1, exponent) for step in (1, 2, 5)]
    step, place = next(pair for pair in steps if (high - low) / pair[0] <= _MOST)
    digits = max(1, math.floor(math.log10(high)) - place + 1)
    counts = range(math.ceil(low / step), math.floor(high / step) + 1)
    return [(step * count, _written(step * count, digits)) for count in counts]


def _written(tick: float, digits: int) -> str:
    return f"{tick:.{digits}g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
