"""Features of this machine's CPU that OpenVINO does not report."""

from __future__ import annotations

import platform
from pathlib import Path

_NAME = ("model name",)
_FEATURES = ("flags", "Features")
_VECTORS = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")


def cpu_name() -> str | None:
    """What Linux calls the CPU; None where it does not."""
    return _cpuinfo(_NAME)


def cpu_features() -> str:
    """The instruction sets of the CPU, as Linux lists them, separated by spaces; empty where it does not."""
    return _cpuinfo(_FEATURES) or ""


def cpu_kind() -> str:
    """The name of the CPU and its vector instructions: equal ones compute the same numbers."""
    features = cpu_features().split()
    vectors = [name for name in _VECTORS if name in features]
    return " ".join((cpu_name() or platform.machine(), *vectors))


def has_amx() -> bool:
    """Whether the CPU has the tiles of AMX; False where that is not known."""
    return "amx_int8" in cpu_features().split()


def has_vnni() -> bool:
    """Whether the CPU multiplies 8-bit integers by VNNI instructions; True where that is not known."""
    features = cpu_features().split()
    return not features or "avx512_vnni" in features or "avx_vnni" in features


def _cpuinfo(keys: tuple[str, ...]) -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(keys)), None)
