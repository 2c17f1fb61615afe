"""Logits of a model folder, and of the Hugging Face folder that it was made of."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

Array = npt.NDArray[Any]
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0", "KV_CACHE_PRECISION": "f32"}


def logits(folder: Path, ids: Array) -> Array:
    """[batch, tokens, vocabulary] by OpenVINO in f32."""
    compiled = ov.Core().compile_model(folder / "openvino_model.xml", "CPU", _EXACT)
    positions = np.arange(ids.shape[1])[None]
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "position_ids": positions}
    found = compiled.create_infer_request().infer({**inputs, "beam_idx": np.zeros(1, np.int32)})
    return np.array(found["logits"])


def torch_logits(folder: Path, ids: Array, weights: Mapping[str, Array] | None = None) -> Array:
    """The same by PyTorch in f32, with other weights [N, K] for some modules."""
    torch, hf = importlib.import_module("torch"), importlib.import_module("transformers")
    model = hf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        for name, values in (weights or {}).items():
            model.get_submodule(name).weight.copy_(torch.from_numpy(values.astype(np.float32)))
        return np.asarray(model(torch.from_numpy(ids)).logits.numpy())
