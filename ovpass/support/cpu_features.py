"""CPU features that the CPU plugin depends on."""

from __future__ import annotations

import platform
from pathlib import Path


def has_amx() -> bool:
    """Whether the kernel reports the tiles of AMX; False where it reports nothing."""
    return "amx_int8" in _cpuinfo()


def cpu_name() -> str:
    """The name of the processor's model, or of its architecture where the kernel reports none."""
    lines = (line.partition(":") for line in _cpuinfo().splitlines())
    named = (value.strip() for key, _, value in lines if key.strip() == "model name")
    return next(named, "") or platform.machine()


def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
