"""Convert an ONNX file with OpenVINO's frontend and record the attributes of its quantized MatMuls.

OpenVINO's graph does not keep them: the frontend drops MatMulNBits' accuracy_level, turns DynamicQuantizeMatMul into a
product of floats, and DequantizeLinear into plain arithmetic.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ovpass.conversion.onnx_attributes import assign, read_requests
from ovpass.conversion.onnx_names import name_products
from ovpass.errors import ModelError
from ovpass.ir.files import IrFile
from ovpass.sites.source_attributes import write_source_attributes

if TYPE_CHECKING:
    import openvino as ov

_EXTERNAL = re.compile(r"externally stored data in file \(([^,]+),")
_UNKNOWN = re.compile(r"No conversion rule found for operations: (.+)")
_UNWRITABLE = re.compile(r"Cannot create (\w+) layer")
_SHOWN = 3


def convert_onnx(source: Path, folder: Path, progress: Callable[[str], None]) -> list[str]:
    """Write `folder`/openvino_model.xml and .bin, weights in the types they have in `source`; what is to be said of it.

    Without the onnx package the model is the same, but nothing is recorded of what the file asked for.

    Raises:
        ModelError: for a file that is missing, damaged or no ONNX, and for ops that OpenVINO does not know.
        OSError: if not everything could be written.
    """
    from ovpass.ir.writer import write_anew  # noqa: PLC0415 - brings OpenVINO along, slow to start

    progress(f"converting {source.name}")
    model = _converted(source)
    written = IrFile(folder / "openvino_model.xml")
    try:
        _settle(model, source)
        notes = _record(model, source)
        progress("writing openvino_model.xml")
        write_anew(model, written, folder)
    except UnicodeDecodeError as error:
        raise ModelError(f"{source}: is damaged: it has names that are not UTF-8") from error
    _check_readable(written, source)
    return notes


def _converted(source: Path) -> ov.Model:
    import openvino as ov  # noqa: PLC0415
    from openvino.frontend import FrontEndManager  # noqa: PLC0415

    if not source.is_file():
        raise ModelError(f"{source}: no such file")
    frontend = FrontEndManager().load_by_framework("onnx")
    if not frontend.supported(str(source)):
        raise ModelError(f"{source}: is not an ONNX file")
    try:
        return ov.convert_model(source)
    except Exception as error:  # the frontend's own exceptions have no common base but this
        raise ModelError(f"{source}: {_reason(str(error))}") from error


def _reason(text: str) -> str:
    if missing := _EXTERNAL.search(text):
        return f"its weights in {missing[1]} are missing or truncated; put that file beside it"
    if unknown := _UNKNOWN.search(text):
        return f"OpenVINO does not know its operations {unknown[1].strip()}"
    if "can't be parsed" in text:
        return "is damaged or truncated: it cannot be parsed as ONNX"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"OpenVINO cannot convert it: {lines[-1] if lines else 'no reason given'}"


def _settle(model: ov.Model, source: Path) -> None:
    """Names that stay, and weights that depend on nothing but Constants."""
    from ovpass.conversion.onnx_blocks import regroup  # noqa: PLC0415 - brings OpenVINO along
    from ovpass.ir.constant_folding import settle_shapes  # noqa: PLC0415 - likewise
    from ovpass.sites import find_compressed_matmuls  # noqa: PLC0415

    name_products(model)
    for site in find_compressed_matmuls(model):
        settle_shapes(site.matmul.input_value(site.weights_input))
        regroup(site, source)


def _record(model: ov.Model, source: Path) -> list[str]:
    """Write into the model what the file asks of each site; what there is to say of that."""
    from ovpass.ir.metadata import ModelMetadata  # noqa: PLC0415 - brings OpenVINO along
    from ovpass.sites import find_compressed_matmuls  # noqa: PLC0415

    try:
        requests = read_requests(source)
    except ImportError:
        return [
            "the onnx package is not installed (pip install 'ovpass[onnx]'): attributes like accuracy levels are not "
            "recorded; the model is the same"
        ]
    asked, missed = assign(requests, {site.name for site in find_compressed_matmuls(model)})
    if asked:
        write_source_attributes(ModelMetadata(model), asked)
    if not missed:
        return []
    names = ", ".join(missed[:_SHOWN]) + (f" and {len(missed) - _SHOWN} more" if len(missed) > _SHOWN else "")
    return [
        f"{len(missed)} of {len(requests)} MatMuls with quantized weights have a form that ovpass does not know, and "
        f"stay as OpenVINO converts them: {names}"
    ]


def _check_readable(written: IrFile, source: Path) -> None:
    """The frontend makes operations of some nodes that OpenVINO runs and writes, but does not read again."""
    import openvino as ov  # noqa: PLC0415 - slow, and not needed to look at a source

    try:
        ov.Core().read_model(written.xml, written.bin)
    except RuntimeError as error:
        unknown = _UNWRITABLE.search(str(error))
        why = f"its operation {unknown[1]}" if unknown else "one of its operations"
        raise ModelError(
            f"{source}: OpenVINO runs {why} only from the ONNX file and reads no IR with it; export the model "
            "without that operation"
        ) from error
