"""The export process of optimum-intel: `python -m ovpass.conversion.hugging_face_child ORDER ANSWER`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ovpass.conversion.hugging_face_export import Export
from ovpass.conversion.hugging_face_loading import checked_loading
from ovpass.conversion.packed.checkpoint import PackedCheckpoint
from ovpass.conversion.requantization import Requantizer, integer_encoding
from ovpass.errors import ExtraError, OvpassError
from ovpass.support.extras import extra_module

_SHOWN = 300
_PURPOSE = "converting Hugging Face models"


def main() -> None:
    """Read an order as JSON, export, write notes as JSON, or what went wrong."""
    order = Export(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    answer: dict[str, Any]
    try:
        answer = _carry_out(order)
    except Exception as error:  # the exporters have no class of their own for what they refuse
        missing = isinstance(error, ImportError | ExtraError)
        answer = {"error": _reason(error, order), "missing": missing}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


def _reason(error: Exception, order: Export) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OvpassError):
        return words
    if isinstance(error, ImportError):
        return f"the exporters are not complete ({words}): install them with pip install 'ovpass[export]'"
    shown = words if len(words) <= _SHOWN else f"{words[:_SHOWN]} ..."
    return f"optimum-intel cannot export it for {order.task}: {shown}"


def _carry_out(order: Export) -> dict[str, Any]:
    if not order.packed:
        return {"notes": _export(order, order.source), "requantized": None}
    from ovpass.conversion.hugging_face_weights import put_back  # noqa: PLC0415 - brings OpenVINO along

    checkpoint = PackedCheckpoint(Path(order.source))
    checkpoint.write_plain(Path(order.plain))
    notes = _export(order, order.plain)
    requantizer = order.requantize and Requantizer(integer_encoding(order.requantize))
    left = put_back(checkpoint, Path(order.folder), requantizer or None)
    requantized = requantizer.result if requantizer else None
    return {
        "notes": [*checkpoint.notes, *notes, *left],
        "requantized": requantized and asdict(requantized),
    }


def _export(order: Export, source: str) -> list[str]:
    exporter = extra_module("optimum.exporters.openvino", "export", _PURPOSE)
    formats = extra_module("optimum.intel", "export", _PURPOSE)
    with checked_loading(order.task, pipeline=order.pipeline) as notes:
        exporter.main_export(
            source,
            Path(order.folder),
            task=order.task,
            ov_config=formats.OVConfig(dtype=order.weight_format),
            trust_remote_code=order.trust_remote_code,
            convert_tokenizer=order.tokenizer,
            local_files_only=True,
        )
    return notes


if __name__ == "__main__":
    main()
