"""CPU features that the CPU plugin depends on."""

from __future__ import annotations

from pathlib import Path


def has_amx() -> bool:
    """Whether the kernel reports the tiles of AMX; False where it reports nothing."""
    try:
        return "amx_int8" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
