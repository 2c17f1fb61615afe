"""Names for what depends on a model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ovpass.ir.files import IrFile
from ovpass.ir.weight_samples import sample_weights


def fingerprint(ir: IrFile, parts: Iterable[bytes]) -> str:
    """A name that is equal for equal parts and the same model, judged by its graph and by samples of its weights.

    Raises:
        OSError: if the model cannot be read.
    """
    digest = hashlib.sha256(ir.xml.read_bytes())
    digest.update(sample_weights(ir.bin, ir.bin.stat().st_size).encode())
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:32]
