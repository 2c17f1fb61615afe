"""How much memory this program took."""

from pathlib import Path


def peak_megabytes() -> float:
    """The most memory that was resident: of this program alone, where rusage counts its parent's as well."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) / 1024
