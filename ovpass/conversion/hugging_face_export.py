"""Convert Hugging Face folders with optimum-intel."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ovpass.conversion.hugging_face_folder import (
    PIPELINE,
    check_weights,
    infer_task,
    needs_remote_code,
    read_config,
)
from ovpass.conversion.isolated_process import run_python
from ovpass.conversion.packed.checkpoint import PackedCheckpoint, quantization
from ovpass.conversion.requantization import Requantized
from ovpass.conversion.source import WEIGHT_FORMATS, Options, Outcome
from ovpass.conversion.tokenizers import carry_tokenizer, has_tokenizer, is_converted, remove_tokenizer
from ovpass.errors import ExtraError, ModelError, SettingsError
from ovpass.support.processes import python_module
from ovpass.support.progress import Progress
from ovpass.support.structured_text import parse_json, read_text

_PACKAGES = ("torch", "transformers", "optimum.intel", "openvino_tokenizers")


@dataclass(frozen=True)
class Export:
    """What the exporting process is told: where from, where to, and how; `plain` is its scratch."""

    source: str
    folder: str
    plain: str
    task: str
    weight_format: str
    requantize: str | None
    trust_remote_code: bool
    packed: bool
    pipeline: bool
    tokenizer: bool


def convert_hugging_face(source: Path, folder: Path, options: Options, progress: Progress) -> Outcome:
    """Write the models, tokenizers and configurations into `folder`.

    Weights that are packed stay as they are, codes with their scales and zero points, unless they are to be
    re-quantized.

    Raises:
        ModelError: for a folder that is damaged, or that optimum-intel cannot export.
        SettingsError: for a task or format that is not possible.
        ExtraError: if the exporters are not installed.
    """
    weight_format = options.weight_format or WEIGHT_FORMATS[0]
    if weight_format not in WEIGHT_FORMATS:
        raise SettingsError(
            f"weight-format {weight_format!r}: use {' or '.join(WEIGHT_FORMATS)}; for fewer bits run 'ovpass compress' "
            "on the result"
        )
    config = read_config(source)
    check_weights(source)
    packed = quantization(config) is not None
    if packed:
        PackedCheckpoint(source).check()
    elif options.requantize is not None:
        raise SettingsError("requantize: the weights are in floating point; convert them, and run 'ovpass compress'")
    trust = options.trust_remote_code
    if needs_remote_code(source, config) and not trust:
        raise ModelError(f"{source}: contains its own Python code; --trust-remote-code runs it, if you trust it")
    task = options.task or infer_task(config)
    _require_packages()
    plain = folder.parent / "plain"
    pipeline = (source / PIPELINE).is_file()
    tokenizer = pipeline or has_tokenizer(source)
    paths = (str(source.resolve()), str(folder), str(plain))
    order = Export(*paths, task, weight_format, options.requantize, trust, packed, pipeline, tokenizer)
    progress("exporting with optimum-intel")
    answer = _export(order, folder.parent, source)
    notes: list[str] = answer["notes"]
    if not is_converted(folder):
        remove_tokenizer(folder)
        notes += carry_tokenizer(source, folder, progress)
    requantized = answer["requantized"] and Requantized(**answer["requantized"])
    return Outcome(task, notes, requantized)


def _require_packages() -> None:
    for package in _PACKAGES:
        parent, _, child = package.partition(".")
        found = importlib.util.find_spec(parent) is not None
        if not found or (child and importlib.util.find_spec(package) is None):
            raise ExtraError(
                f"converting Hugging Face models needs {package}: install it with pip install 'ovpass[export]'"
            )


def _export(order: Export, scratch: Path, source: Path) -> dict[str, Any]:
    """Run the exporter; what it wants to say is in a file, apart from what its libraries print."""
    written, answered = scratch / "order.json", scratch / "answer.json"
    written.write_text(json.dumps(asdict(order)), encoding="utf-8")
    command = python_module("ovpass.conversion.hugging_face_child", str(written), str(answered))
    run_python(command, f"{source}: cannot be exported")
    answer: dict[str, Any] = parse_json(read_text(answered))
    if "error" in answer:
        kind = ExtraError if answer["missing"] else ModelError
        raise kind(f"{source}: {answer['error']}")
    return answer
