"""Stable names for MatMuls that OpenVINO's ONNX frontend only numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino as ov

_NUMBERED = re.compile(r"MatMul_\d+")


def name_products(model: ov.Model) -> None:
    """Name MatMuls whose ONNX node had a bias after the node, which the frontend names the Add after; in bodies too.

    Numbers, which they have instead, change with each conversion.
    """
    from ovpass.ir.model_graph import bodies_of  # noqa: PLC0415 - brings OpenVINO along

    for node in model.get_ops():
        if node.get_type_name() == "MatMul" and _NUMBERED.fullmatch(node.get_friendly_name()):
            readers = [port.get_node() for port in node.output(0).get_target_inputs()]
            if [reader.get_type_name() for reader in readers] == ["Add"]:
                node.set_friendly_name(f"{readers[0].get_friendly_name()}/MatMul")
        for _, body in bodies_of(node):
            name_products(body)
