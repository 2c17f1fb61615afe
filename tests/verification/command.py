"""Models and the command line for tests of verify."""

from __future__ import annotations

from pathlib import Path

import openvino as ov

from tests.cli.command import ENCODER, LLAMA, CommandLine, Ran

__all__ = ["ENCODER", "LLAMA", "CommandLine", "Ran", "saved"]


def saved(model: ov.Model, folder: Path) -> Path:
    """The path of the model, saved in a folder of its own."""
    path = folder / f"{model.get_friendly_name()}.xml"
    ov.save_model(model, path, compress_to_fp16=False)
    return path
