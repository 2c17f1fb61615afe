"""What stages take: minutes, room on disk, and memory. Told before any has run.

The constants are those of SmolLM2-135M on two cores of an AMD EPYC, in proportion to the number of weights, and of
tokens where text is run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ovpass.conversion.find_source import FoundSource
from ovpass.conversion.gguf import GGUF
from ovpass.errors import OutputError, SettingsError
from ovpass.support.sizes import format_size

BITS = {"int8_sym": 8.1, "int4_sym": 4.7}
"""Bits a weight, with scales and the 8-bit embedding, of modes to choose from; the most exact first."""
_OTHER_BITS = 5.0
_FLOAT_BITS = 16.0
_ROOM = 1.25
"""Memory that a model takes when it runs, by that of its weights: KV cache and activations come on top."""
_SECONDS = {"convert": 6e-8, "compress": 5e-8, "tune": 3.4e-10, "verify": 1e-7, "evaluate": 1e-10}
"""A weight; of commands that run text, a weight and token."""
WITH_CACHE = 4.2
"""Of the time of tune, with the search for a KV cache among all that a CPU stores; GPUs have fewer."""
_MEMORY = {"convert": 5.4, "compress": 4.4, "tune": 22.0, "verify": 4.4, "evaluate": 11.0}
"""Bytes a weight."""
_WEIGHT_FILES = (".safetensors", ".bin", ".onnx", ".onnx_data", ".data")


@dataclass(frozen=True)
class Estimate:
    """`minutes`, and bytes of `disk` and `memory`."""

    minutes: float = 0.0
    disk: float = 0.0
    memory: float = 0.0


def estimate(command: str, weights: int, tokens: float = 1, mode: str | None = None) -> Estimate:
    """What a command takes for a model of so many weights; `tokens` are those that it runs.

    `mode` is how it compresses what it writes, None for floating point.
    """
    bits = {"convert": _FLOAT_BITS, "compress": BITS.get(mode or "", _OTHER_BITS)}.get(command, 0.0)
    seconds = _SECONDS.get(command, 0.0) * weights * tokens
    return Estimate(seconds / 60, bits * weights / 8, _MEMORY.get(command, 0.0) * weights)


def total(estimates: Iterable[Estimate]) -> Estimate:
    """Of stages that run one after the other and keep what they write."""
    found = list(estimates)
    memory = max((one.memory for one in found), default=0.0)
    return Estimate(sum(one.minutes for one in found), sum(one.disk for one in found), memory)


def check_disk(needed: float, folder: Path) -> None:
    """Make sure that a folder, which need not be there yet, has room for so many bytes.

    Raises:
        OutputError: if it has not.
    """
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise OutputError(
            f"{folder}: the stages need about {format_size(needed)} and {format_size(free)} are free; "
            "name a folder on another disk by --work"
        )


def check_memory(memory: float, size: float) -> None:
    """Make sure that a model whose weights take `size` bytes runs in so many bytes of memory.

    Raises:
        SettingsError: if it does not.
    """
    if _ROOM * size > memory:
        raise SettingsError(
            f"--memory {format_size(memory)}: the model takes {format_size(_ROOM * size)} as it is compressed; "
            "start from one in floating point, or in fewer bits"
        )


def mode_within(memory: float, weights: int) -> str:
    """The most exact mode in which a model of so many weights runs in so many bytes of memory.

    Raises:
        SettingsError: if none is.
    """
    for mode, bits in BITS.items():
        if _ROOM * bits * weights / 8 <= memory:
            return mode
    needed = format_size(_ROOM * min(BITS.values()) * weights / 8)
    raise SettingsError(
        f"--memory {format_size(memory)}: a model of {weights / 1e9:.2g} billion weights takes {needed} in 4 bits; "
        "choose a smaller one"
    )


def count_weights(found: FoundSource) -> int:
    """How many weights a source has in its matrices; of one in floating point as many as its size is in 16 bits each.

    Raises:
        ModelError: for a GGUF file that cannot be read.
    """
    if found.source is GGUF:
        from ovpass.conversion.gguf_file import open_gguf  # noqa: PLC0415 - imports NumPy

        return sum(int(tensor.n_elements) for tensor in open_gguf(found.model).reader.tensors)
    files = found.root.rglob("*") if found.root.is_dir() else found.root.parent.glob(f"{found.root.stem}*")
    return sum(path.stat().st_size for path in files if path.suffix in _WEIGHT_FILES) // 2
