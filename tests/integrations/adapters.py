"""Adapters of low rank as PEFT writes them, for models of tests."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import openvino as ov

from ovpass.sites import find_compressed_matmuls

RANK = 8
STRENGTH = 0.25
"""Enough to change every token that a model of random weights generates."""


def write_adapter(model: ov.Model, kinds: Collection[str], path: Path) -> int:
    """Write an adapter for the model's sites of those kinds; the number of its layers."""
    from safetensors.numpy import save_file  # noqa: PLC0415

    random = np.random.default_rng(0)
    tensors = {}
    sites = [site for site in find_compressed_matmuls(model) if site.kind in kinds]
    for site in sites:
        module = site.name.partition("/")[0].removeprefix("__module.")
        for part, shape in (("lora_A", (RANK, site.k)), ("lora_B", (site.n, RANK))):
            name = f"base_model.model.{module}.{part}.weight"
            tensors[name] = random.normal(0, STRENGTH, shape).astype(np.float32)
    save_file(tensors, path)
    return len(sites)
