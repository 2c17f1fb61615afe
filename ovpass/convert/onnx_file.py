"""ONNX to IR by OpenVINO's own frontend, with a record of what the file asked of its quantized MatMuls.

OpenVINO's graph no longer says it: the frontend drops MatMulNBits' accuracy_level, turns DynamicQuantizeMatMul into a
product of floats, and DequantizeLinear into plain arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovpass.asked import Asked, write_asked
from ovpass.errors import ModelError
from ovpass.ir.files import IrFile

if TYPE_CHECKING:
    import openvino as ov

_DYNAMIC = ("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
_RECORDED = {"MatMulNBits": ("bits", "block_size", "accuracy_level"), "DequantizeLinear": ("block_size",)}
_EXTERNAL = re.compile(r"externally stored data in file \(([^,]+),")
_UNKNOWN = re.compile(r"No conversion rule found for operations: (.+)")
_NUMBERED = re.compile(r"MatMul_\d+")


def convert_onnx(source: Path, folder: Path, progress: Callable[[str], None]) -> None:
    """Write `folder`/openvino_model.xml and .bin, weights in the types they have in `source`.

    Without the onnx package the model is the same, but nothing is recorded of what the file asked for.

    Raises:
        ModelError: for a file that is missing, damaged or no ONNX, and for ops that OpenVINO does not know.
        OSError: where not everything could be written.
    """
    from ovpass.ir.metadata import ModelMetadata  # noqa: PLC0415 - brings OpenVINO along, slow to start
    from ovpass.ir.writer import write_anew  # noqa: PLC0415 - likewise

    progress(f"converting {source.name}")
    model = _converted(source)
    try:
        _name_products(model)
        if asked := _asked(source, model, progress):
            write_asked(ModelMetadata(model), asked)
        progress("writing openvino_model.xml")
        write_anew(model, IrFile(folder / "openvino_model.xml"), folder)
    except UnicodeDecodeError as error:
        raise ModelError(f"{source}: is damaged: it has names that are not UTF-8") from error


def _converted(source: Path) -> ov.Model:
    import openvino as ov  # noqa: PLC0415
    from openvino.frontend import FrontEndManager  # noqa: PLC0415

    if not source.is_file():
        raise ModelError(f"{source}: no such file")
    frontend = FrontEndManager().load_by_framework("onnx")
    if not frontend.supported(str(source)):
        raise ModelError(f"{source}: is no ONNX file")
    try:
        return ov.convert_model(source)
    except Exception as error:  # the frontend's own exceptions have no common base but this
        raise ModelError(f"{source}: {_reason(str(error))}") from error


def _reason(text: str) -> str:
    if missing := _EXTERNAL.search(text):
        return f"its weights in {missing[1]} are missing or cut short; that file belongs beside it"
    if unknown := _UNKNOWN.search(text):
        return f"OpenVINO does not know its operations {unknown[1].strip()}"
    if "can't be parsed" in text:
        return "is damaged or cut short: it cannot be parsed as ONNX"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"OpenVINO cannot convert it: {lines[-1] if lines else 'no reason given'}"


def _name_products(model: ov.Model) -> None:
    """Name MatMuls whose ONNX node had a bias after the node, which the frontend names the Add after.

    Numbers, which they have instead, change with each conversion.
    """
    for node in model.get_ops():
        if node.get_type_name() != "MatMul" or not _NUMBERED.fullmatch(node.get_friendly_name()):
            continue
        readers = [port.get_node() for port in node.output(0).get_target_inputs()]
        if [reader.get_type_name() for reader in readers] == ["Add"]:
            node.set_friendly_name(f"{readers[0].get_friendly_name()}/MatMul")


# What the file asked for ----------------------------------------------------------------------------------------------


def _asked(source: Path, model: ov.Model, progress: Callable[[str], None]) -> Asked:
    try:
        import onnx  # noqa: PLC0415 - an extra
    except ImportError:
        progress(
            "the onnx package is not installed (pip install 'ovpass[onnx]'): accuracy levels and the like are not "
            "recorded; the model itself is the same"
        )
        return {}
    matmuls = {node.get_friendly_name() for node in model.get_ops() if node.get_type_name() == "MatMul"}
    found: dict[str, dict[str, Any]] = {}
    for node, entry in _requests(onnx.load(source, load_external_data=False).graph, onnx.helper):
        for name in (node.name, f"{node.name}/MatMul", *node.output):
            if name in matmuls:
                found[name] = entry
                break
    return found


def _requests(graph: Any, helper: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The nodes that multiply by quantized weights, each with what it asks for."""
    by_output = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type in _DYNAMIC:
            yield node, {"op": node.op_type}
        elif node.op_type == "MatMulNBits":
            yield node, _entry(node, helper)
        elif node.op_type == "MatMul":
            weights = by_output.get(node.input[1])
            if weights is not None and weights.op_type == "DequantizeLinear" and weights.input[0] not in by_output:
                yield node, _entry(weights, helper)


def _entry(node: Any, helper: Any) -> dict[str, Any]:
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    recorded = {name: attributes[name] for name in _RECORDED[node.op_type] if name in attributes}
    return {"op": node.op_type, **recorded}
