"""Ask a plugin whether it takes a model, without compiling kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openvino as ov


def require_compilable(core: ov.Core, model: ov.Model, device: str, config: Mapping[str, Any]) -> None:
    """Make sure that a plugin's transformations take a model, and that it has all of its ops.

    Raises:
        RuntimeError: in the plugin's words.
    """
    supported = core.query_model(model, device, config)
    if any(op.get_friendly_name() not in supported for op in model.get_ops()):
        core.compile_model(model, device, config)  # says which op is missing, and why
