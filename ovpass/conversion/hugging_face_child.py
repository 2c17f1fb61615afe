"""The export process of optimum-intel: `python -m ovpass.conversion.hugging_face_child ORDER ANSWER`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ovpass.conversion.answers import reply
from ovpass.conversion.broken_torchvision import hide_broken_torchvision
from ovpass.conversion.hugging_face_export import Export
from ovpass.conversion.hugging_face_loading import checked_loading
from ovpass.conversion.packed.checkpoint import PackedCheckpoint
from ovpass.conversion.requantization import Requantizer, integer_encoding
from ovpass.conversion.source import Outcome
from ovpass.errors import ExtraError, ModelError, OvpassError
from ovpass.support.extras import extra_module

_SHOWN = 300
_PURPOSE = "converting Hugging Face models"


def main() -> None:
    """Read an order as JSON, export, and answer."""
    order, answer = map(Path, sys.argv[1:])
    reply(answer, lambda: _carry_out(Export(**json.loads(order.read_text(encoding="utf-8")))))


def _carry_out(order: Export) -> Outcome:
    hide_broken_torchvision()
    with _named_errors(order):
        return _convert(order)


@contextmanager
def _named_errors(order: Export) -> Iterator[None]:
    """Make each error one of ovpass that names the source."""
    try:
        yield
    except OvpassError as error:
        raise type(error)(f"{order.name}: {error}") from error
    except ImportError as error:
        raise ExtraError(
            f"{order.name}: the exporters are not complete ({_brief(error)}): install them with "
            "pip install 'ovpass[export]'"
        ) from error
    except Exception as error:  # the exporters have no class of their own for what they refuse
        raise ModelError(f"{order.name}: optimum-intel cannot export it for {order.task}: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= _SHOWN else f"{words[:_SHOWN]} ..."


def _convert(order: Export) -> Outcome:
    if not order.packed:
        return Outcome(notes=_export(order, order.source))
    from ovpass.conversion.hugging_face_weights import put_back  # noqa: PLC0415 - brings OpenVINO along

    checkpoint = PackedCheckpoint(Path(order.source))
    checkpoint.write_plain(Path(order.plain))
    notes = _export(order, order.plain)
    requantizer = Requantizer(integer_encoding(order.requantize)) if order.requantize else None
    left = put_back(checkpoint, Path(order.folder), requantizer)
    return Outcome(notes=[*checkpoint.notes, *notes, *left], requantized=requantizer.result if requantizer else None)


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
