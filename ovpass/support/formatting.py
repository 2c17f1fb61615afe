"""Format counts and numbers in sentences, and the reason in an OpenVINO error."""

from __future__ import annotations

import math

_SHOWN = 300


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 site`, `2 sites`; `many` where the plural is more than an s, as in `1 site is`, `2 sites are`."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def last_line(error: Exception) -> str:
    """What OpenVINO says, without the places in its sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:_SHOWN] if lines else "no reason given"


def number(value: float | None, digits: int = 3) -> str:
    """So many significant digits, without an exponent where that stays short; a dash for nothing."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "not finite"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        plain = f"{value:.{digits}g}"
        return f"{value:.0f}" if "e" in plain else plain
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
