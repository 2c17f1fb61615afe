"""Models in floating point."""

from __future__ import annotations

import shutil
from pathlib import Path

import openvino as ov
import pytest

from tests.builders import LlamaConfig, llama_model
from tests.cli.command import LLAMA

F16 = "w_f16_plain"


def float_llama(folder: Path, *, fmt: str = F16, stateful: bool = True) -> Path:
    """A model folder with a tokenizer, whose every K is 64 or 128."""
    folder.mkdir(parents=True)
    for path in LLAMA.iterdir():
        if "tokenizer" in path.name or path.suffix == ".json":
            shutil.copyfile(path, folder / path.name)
    model = llama_model(1, 64, 4, 2, 128, LlamaConfig().vocab, fmt=fmt, lm_head_fmt=fmt, stateful=stateful)
    ov.save_model(model, folder / "openvino_model.xml", compress_to_fp16=False)
    return folder


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that no test changes."""
    return float_llama(tmp_path_factory.mktemp("float") / "llama")
