"""What OpenVINO 2026.4's frontend builds otherwise than llama.cpp, found by comparison with a forward pass in NumPy.

- Weights of the selected experts are normalized by metadata alone; llama.cpp always does so for some architectures.
- qwen3moe rotates neighbours (llama.cpp's NORM) instead of the halves of a head (NEOX). Rows of queries and keys in
  another order make the two the same.
- phi3 has a sliding window in every other block instead of in all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.conversion.gguf_frontend.nodes import of_type
from ovpass.conversion.gguf_metadata import GgufFile

_NORMALIZED = ("ernie4_5-moe", "hunyuan-moe", "llama", "qwen3moe")
_ROTATES_HALVES = ("qwen3moe",)
_WINDOW_EVERYWHERE = ("phi3",)
_NORMS = (".Qcur_normed", ".Kcur_normed")


def normalizes_experts(model: ov.Model, file: GgufFile) -> bool:
    """Whether weights of experts have to be normalized still."""
    done = any("moe_w_norm" in node.get_friendly_name() for node in of_type(model, "Divide"))
    return file.architecture in _NORMALIZED and not done


def has_window_everywhere(file: GgufFile) -> bool:
    """Whether every block attends within the window."""
    return file.architecture in _WINDOW_EVERYWHERE


def order_in_head(model: ov.Model, file: GgufFile) -> npt.NDArray[Any] | None:
    """Which row of a head of queries and keys comes at each place, None for all in order."""
    pairs = any(node.get_output_partial_shape(0)[-1] == ov.Dimension(1) for node in of_type(model, "Split"))
    if file.architecture not in _ROTATES_HALVES or not pairs:
        return None
    size = int(file.value("attention.key_length", file.value("embedding_length") // file.value("attention.head_count")))
    return np.asarray(np.arange(size).reshape(2, -1).T.reshape(-1))


def reorder_norms(model: ov.Model, order: npt.NDArray[Any]) -> None:
    """Put the weights of the norms of queries and keys in that order."""
    for node in of_type(model, "Multiply"):
        weights = node.input_value(1).get_node()
        if node.get_friendly_name().endswith(_NORMS) and weights.get_type_name() == "Constant":
            node.input(1).replace_source_output(op.constant(np.array(weights.data)[order]).output(0))
