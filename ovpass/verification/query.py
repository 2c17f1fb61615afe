"""Ask a plugin whether it takes a model, without compiling kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import openvino as ov


def require_compilable(core: ov.Core, model: ov.Model, device: str, config: Mapping[str, Any]) -> None:
    """Make sure that a plugin's transformations take a model, and that it has all of its ops.

    Raises:
        RuntimeError: in the plugin's words.
    """
    supported = core.query_model(model, device, config)
    missing = [op for op in model.get_ops() if op.get_friendly_name() not in supported]
    if missing:
        # Compiling says which op is missing, and why; or that it was none, as for 2-bit weights with zero points.
        core.compile_model(_part(model, missing), device, config)


def _part(model: ov.Model, missing: Sequence[ov.Node]) -> ov.Model:
    """The outputs that are missing, with all that they read; the whole model where it is the ops between."""
    results = [op for op in missing if op.get_type_name() == "Result"]
    if not results or model.get_sinks():
        return model
    read, todo = {}, list(results)
    while todo:
        op = todo.pop()
        if op.get_friendly_name() not in read:
            read[op.get_friendly_name()] = op
            todo += [value.get_node() for value in op.input_values()]
    parameters = [op for op in model.get_parameters() if op.get_friendly_name() in read]
    return ov.Model(results, parameters, "missing")
