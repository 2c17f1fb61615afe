"""Model folders for the tests of evaluate."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import openvino as ov

from tests.builders import llama_model
from tests.cli.command import LLAMA


def folder_of(model: ov.Model, folder: Path) -> Path:
    """The model in a folder, with the tokenizer and configuration of the tiny llama."""
    shutil.copytree(LLAMA, folder, ignore=shutil.ignore_patterns("openvino_model.*"))
    ov.save_model(model, folder / "openvino_model.xml", compress_to_fp16=False)
    return folder


def llama_folder(folder: Path, **options: Any) -> Path:
    """A small llama of random weights; those of one seed are the same before they are compressed."""
    return folder_of(llama_model(**options), folder)
