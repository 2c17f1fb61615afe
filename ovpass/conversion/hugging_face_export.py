"""Convert Hugging Face folders with optimum-intel."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ovpass.conversion.answers import ask
from ovpass.conversion.hugging_face_folder import (
    PIPELINE,
    check_weights,
    infer_task,
    needs_remote_code,
    read_config,
)
from ovpass.conversion.packed.checkpoint import PackedCheckpoint, quantization
from ovpass.conversion.source import WEIGHT_FORMATS, Options, Outcome
from ovpass.conversion.tokenizers import carry_tokenizer, has_tokenizer, is_converted, remove_tokenizer
from ovpass.errors import ModelError, SettingsError
from ovpass.support.extras import require_package
from ovpass.support.progress import Progress

_PACKAGES = ("torch", "transformers", "optimum.intel", "openvino_tokenizers")


@dataclass(frozen=True)
class Export:
    """What the exporting process is told: where from, where to, and how.

    `name` is the source as errors call it; `plain` is a folder for a checkpoint that is unpacked.
    """

    name: str
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
    for package in _PACKAGES:
        require_package(package, "export", "converting Hugging Face models")
    pipeline = (source / PIPELINE).is_file()
    order = Export(
        name=str(source),
        source=str(source.resolve()),
        folder=str(folder),
        plain=str(folder.parent / "plain"),
        task=task,
        weight_format=weight_format,
        requantize=options.requantize,
        trust_remote_code=trust,
        packed=packed,
        pipeline=pipeline,
        tokenizer=pipeline or has_tokenizer(source),
    )
    progress("exporting with optimum-intel")
    outcome = replace(_export(order, folder.parent), task=task)
    if not is_converted(folder):
        remove_tokenizer(folder)
        outcome = replace(outcome, notes=[*outcome.notes, *carry_tokenizer(source, folder, progress)])
    return outcome


def _export(order: Export, scratch: Path) -> Outcome:
    """Run the exporter; what it wants to say is in a file, apart from what its libraries print."""
    written, answer = scratch / "order.json", scratch / "answer.json"
    written.write_text(json.dumps(asdict(order)), encoding="utf-8")
    return ask("ovpass.conversion.hugging_face_child", [str(written)], answer, f"{order.name}: cannot be exported")
