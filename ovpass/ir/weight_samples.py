"""Samples of a .bin that identify a model without reading all weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

_SAMPLES = 16
_SAMPLE = 4096


def sample_weights(weights: Path, size: int) -> str:
    """A SHA-256 over the first `size` bytes' length and 16 samples of 4 KiB spread over them.

    Raises:
        OSError: if the file cannot be read.
    """
    digest = hashlib.sha256(str(size).encode())
    with weights.open("rb") as stream:
        for number in range(_SAMPLES):
            stream.seek(number * max(size - _SAMPLE, 0) // (_SAMPLES - 1))
            digest.update(stream.read(min(_SAMPLE, size)))
    return digest.hexdigest()
