"""Read a GPU plugin's runtime model: which FullyConnected has a quantized activation.

Measured on OpenVINO 2026.4: a DynamicQuantize carries `group_sizes` ("1, 1, 128"; -1 is per token).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import openvino as ov

from ovpass.ir.model_graph import ModelGraph
from ovpass.verification.observation import ObservedMatMul
from ovpass.verification.original_names import Readers, last_group, originals, readers_in


def readers_of(model: ov.Model) -> Readers:
    """`readers_in` for a model in memory."""
    return readers_in(ModelGraph(model))


def observed_matmuls(
    runtime: ov.Model, readers: Readers, kernels: Mapping[str, str] = MappingProxyType({})
) -> list[ObservedMatMul]:
    """The FullyConnected and Gemm nodes of a runtime model, by the names of the model that was compiled.

    `kernels` are those of a run, by node; they are known of more nodes than the runtime model tells.
    """
    found = []
    for op in runtime.get_ordered_ops():
        info = _info(op)
        if info["layerType"] not in ("FullyConnected", "Gemm"):
            continue
        source = op.input_value(0).get_node()
        before = _info(source)
        quantized = before["layerType"] == "DynamicQuantize"
        names = dict.fromkeys(n for text in info["originalLayersNames"].split(",") for n in originals(text, readers))
        found.append(
            ObservedMatMul(
                kind=info["layerType"],
                names=tuple(names),
                activation_type=op.input_value(0).get_element_type().to_string(),
                group_size=last_group(before["group_sizes"]) if quantized else None,
                quantizer=source.get_friendly_name() if quantized else None,
                kernel=kernels.get(op.get_friendly_name(), info.get("primitiveType", "")),
            )
        )
    return found


def custom_primitives(runtime: ov.Model) -> tuple[str, ...]:
    """The ops that run on a kernel of ours, by their names in the model that was compiled."""
    infos = [_info(op) for op in runtime.get_ordered_ops()]
    ours = [info["originalLayersNames"] for info in infos if info["layerType"] == "CustomGPUPrimitive"]
    return tuple(name for names in ours for name in names.split(","))


def _info(op: ov.Node) -> dict[str, str]:
    """The node's runtime info as text."""
    return {key: str(getattr(value, "value", value)) for key, value in op.get_rt_info().items()}
