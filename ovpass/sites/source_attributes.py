"""Quantization attributes of the source file that OpenVINO's graph does not keep."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ovpass.ir.metadata import Metadata
from ovpass.ir.note import damaged
from ovpass.sites import CompressedMatMul
from ovpass.support.structured_text import MalformedError, parse_json

_SECTION, _NAME = "ovpass", "asked"
_DYNAMIC = "u8 asymmetric activations, per tensor"
# https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#commicrosoftmatmulnbits
_LEVELS = {1: "f32", 2: "f16", 3: "bf16", 4: "int8"}

SourceAttributes = Mapping[str, Mapping[str, Any]]
"""By name of the MatMul: the ONNX op under "op", and of its attributes those that bear on arithmetic."""


def write_source_attributes(metadata: Metadata, asked: SourceAttributes) -> None:
    """Record it under rt_info/ovpass/sites/source_attributes, beside the note of what ovpass did."""
    metadata.set(_SECTION, _NAME, json.dumps(asked, separators=(",", ":")))


def read_source_attributes(metadata: Metadata) -> SourceAttributes:
    """What was recorded; nothing in a model that ovpass did not convert.

    Raises:
        ModelError: for a record that ovpass has not written so.
    """
    try:
        recorded = parse_json(metadata.get(_SECTION, _NAME) or "{}")
    except MalformedError as error:
        raise damaged(metadata, f"is not JSON: {error}") from error
    entries = recorded.values() if isinstance(recorded, dict) else [None]
    if not all(isinstance(entry, dict) and isinstance(entry.get("op"), str) for entry in entries):
        raise damaged(metadata, "does not name the ONNX op of each MatMul")
    return dict(recorded)


def describe_source_attributes(site: CompressedMatMul, recorded: SourceAttributes) -> str | None:
    """What the file asked of one site, in words; None where nothing is known."""
    entry = recorded.get(site.name)
    if entry is None:
        return f"dynamic quantization ({_DYNAMIC})" if site.noncanonical is not None else None
    if entry["op"] == "MatMulNBits":
        return f"MatMulNBits{_blocks(entry)}, {_level(entry.get('accuracy_level', 0))}"
    if entry["op"] == "DequantizeLinear":
        return f"DequantizeLinear{_blocks(entry)}"
    return f"{entry['op']} ({_DYNAMIC})"


def _blocks(entry: Mapping[str, Any]) -> str:
    return f" in blocks of {entry['block_size']}" if entry.get("block_size") else ""


def _level(level: int) -> str:
    if level not in _LEVELS:
        return "no accuracy_level"
    return f"accuracy_level {level} ({_LEVELS[level]} activations), which OpenVINO ignores"
