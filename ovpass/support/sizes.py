"""Sizes in bytes, as people write them."""

from __future__ import annotations

import re
from pathlib import Path

from ovpass.errors import SettingsError

_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", re.IGNORECASE)


def parse_size(text: str, what: str) -> float:
    """Bytes of "8GB", "1.5 GiB" or "300M"; `what` names the setting.

    Raises:
        SettingsError: for anything else, and for 0.
    """
    found = _SIZE.fullmatch(text.strip())
    size = float(found[1]) * _UNITS.get(found[2].upper(), 0) if found else 0
    if not size:
        raise SettingsError(f"{what} {text!r}: write a size such as 8GB or 500MB")
    return size


def format_size(size: float) -> str:
    """In megabytes, or in gigabytes from 10,000 of them on."""
    return f"{size / 1e9:.0f} GB" if size >= 1e10 else f"{size / 1e6:,.0f} MB"


def available_memory() -> float:
    """Bytes of memory that are free or can be freed; infinite where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    kilobytes = (int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return 1024.0 * next(kilobytes, float("inf"))
