"""Copy the tokenizer of a model, and convert it if the packages are installed."""

from __future__ import annotations

import importlib.util
import shutil
from contextlib import suppress
from pathlib import Path

from ovpass.conversion.isolated_process import run_python
from ovpass.errors import ModelError
from ovpass.support.processes import python_code
from ovpass.support.progress import Progress
from ovpass.support.structured_text import MalformedError, parse_json, read_text
from ovpass.transformation.carrying import check_link

TOKENIZER, DETOKENIZER = "openvino_tokenizer.xml", "openvino_detokenizer.xml"

_TOKENIZERS = ("*token*", "vocab*", "merges.txt", "*.model", "*.spm", "*.tiktoken")
_CARRIED = (*_TOKENIZERS, "*config*.json", "chat_template*")
_VOCABULARIES = ("tokenizer.json", "tekken.json", "vocab*", "*.model", "*.spm", "*.tiktoken")
_OF_BYTES = ("ByT5", "Canine", "Perceiver")
"""Classes of tokenizers without a vocabulary."""
_CONVERT = """
from ovpass.conversion.broken_torchvision import hide_broken_torchvision
hide_broken_torchvision()
import openvino as ov
from openvino_tokenizers import convert_tokenizer
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], local_files_only=True)
for path, model in zip(sys.argv[2:], convert_tokenizer(tokenizer, with_detokenizer=True)):
    ov.save_model(model, path)
"""


def has_tokenizer(folder: Path) -> bool:
    """Whether there is what a tokenizer is made of; without that transformers makes up one."""
    if any(any(folder.glob(pattern)) for pattern in _VOCABULARIES):
        return True
    with suppress(MalformedError, AttributeError):
        config = parse_json(read_text(folder / "tokenizer_config.json"))
        return str(config.get("tokenizer_class")).startswith(_OF_BYTES)
    return False


def is_converted(folder: Path) -> bool:
    """Whether the folder, or one of a pipeline's below it, holds a tokenizer as a model."""
    return any(path.with_name(DETOKENIZER).is_file() for path in folder.rglob(TOKENIZER))


def remove_tokenizer(folder: Path) -> None:
    """Take away what an exporter made up, or began to write."""
    for path in [path for pattern in ("openvino_*token*", *_TOKENIZERS) for path in folder.glob(pattern)]:
        path.unlink(missing_ok=True)


def carry_tokenizer(source: Path | None, folder: Path, progress: Progress) -> list[str]:
    """Copy tokenizer and configurations from beside a model, and convert the tokenizer; returns notes.

    Raises:
        ModelError: for links out of the folder.
    """
    if source is None:
        return ["no tokenizer: name the folder instead of the file, and the files beside the model are included"]
    for pattern in _CARRIED:
        for path in sorted(source.glob(pattern)):
            if path.is_file() and not (folder / path.name).exists():
                check_link(path, source)
                shutil.copyfile(path, folder / path.name)
    if not has_tokenizer(folder):
        return [f"no tokenizer: {source} has none"]
    missing = [name for name in ("transformers", "openvino_tokenizers") if importlib.util.find_spec(name) is None]
    if missing:
        return [f"the tokenizer is copied, not converted: conversion needs {missing[0]}, pip install 'ovpass[export]'"]
    progress("converting the tokenizer")
    try:
        targets = [str(folder / name) for name in (TOKENIZER, DETOKENIZER)]
        run_python(python_code(_CONVERT, str(folder), *targets), "the tokenizer was copied, not converted")
    except ModelError as error:
        return [str(error)]
    return []
