"""Read a GPU plugin's runtime model: which FullyConnected has a quantized activation, and for which MatMuls.

Measured on OpenVINO 2026.4: a DynamicQuantize carries `group_sizes` ("1, 1, 128"; -1 is per token), and
`originalLayersNames` leads back to the model's own MatMuls through renaming and fusion.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import openvino as ov

from ovpass.groups import PER_TOKEN
from ovpass.verification.observation import SeenMatMul

Readers = Mapping[str, list[str]]


def readers_of(model: ov.Model) -> Readers:
    """For each MatMul's name, the MatMuls that read the same activation, itself included."""
    readers: dict[tuple[str, int], list[str]] = {}
    for op in model.get_ordered_ops():
        if op.get_type_name() == "MatMul":
            source = op.input_value(0)
            key = (source.get_node().get_name(), source.get_index())
            readers.setdefault(key, []).append(op.get_friendly_name())
    return {name: names for names in readers.values() for name in names}


def seen_matmuls(runtime: ov.Model, readers: Readers) -> list[SeenMatMul]:
    """The FullyConnected and Gemm nodes of a runtime model, by the names of the model that was compiled."""
    found = []
    for op in runtime.get_ordered_ops():
        info = _info(op)
        if info["layerType"] not in ("FullyConnected", "Gemm"):
            continue
        source = op.input_value(0).get_node()
        before = _info(source)
        quantized = before["layerType"] == "DynamicQuantize"
        names = [name for text in info["originalLayersNames"].split(",") for name in _originals(text, readers)]
        found.append(
            SeenMatMul(
                kind=info["layerType"],
                names=tuple(names),
                activation_type=op.input_value(0).get_element_type().to_string(),
                group_size=last_group(before["group_sizes"]) if quantized else None,
                quantizer=source.get_friendly_name() if quantized else None,
            )
        )
    return found


def last_group(group_sizes: str) -> int:
    """The group size along K from the plugin's list for all axes."""
    last = int(group_sizes.rsplit(",", maxsplit=1)[-1])
    return PER_TOKEN if last == -1 else last


def _info(op: ov.Node) -> dict[str, str]:
    """The node's runtime info as text."""
    return {key: str(getattr(value, "value", value)) for key, value in op.get_rt_info().items()}


def _originals(name: str, readers: Readers) -> Iterable[str]:
    """MatMuls behind a name of the runtime model: `linear`, `linear.0`, `linear_with_bias_fused_3FCs`."""
    fused = re.fullmatch(r"(.*?)(?:_with_bias)?_fused_(\d+)FCs", name)
    if fused:
        together = readers.get(fused[1], [])
        return together if len(together) == int(fused[2]) else []
    plain = name if name in readers else re.sub(r"\.\d+$", "", name)
    return [plain] if plain in readers else []
