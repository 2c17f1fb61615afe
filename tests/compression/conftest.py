"""Models in floating point."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import openvino as ov
import pytest

from ovpass.compression import vector_weights
from ovpass.compression.compress import Compressed, compress_source
from ovpass.compression.recipe import Recipe
from tests.builders import LlamaConfig, llama_model
from tests.cli.command import LLAMA

F16 = "w_f16_plain"

Compress = Callable[[Recipe], Compressed]


def float_llama(folder: Path, *, fmt: str = F16, stateful: bool = True) -> Path:
    """A model folder with a tokenizer, whose every K is 64 or 128."""
    folder.mkdir(parents=True)
    for path in LLAMA.iterdir():
        if "tokenizer" in path.name or path.suffix == ".json":
            shutil.copyfile(path, folder / path.name)
    model = llama_model(1, 64, 4, 2, 128, LlamaConfig().vocab, fmt=fmt, lm_head_fmt=fmt, stateful=stateful)
    ov.save_model(model, folder / "openvino_model.xml", compress_to_fp16=False)
    return folder


@pytest.fixture(scope="package", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What earlier runs have encoded is no part of a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that no test changes."""
    return float_llama(tmp_path_factory.mktemp("float") / "llama")


@pytest.fixture(scope="session")
def compressed(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Compress:
    """`llama` by a recipe that takes no text, in a folder that no test changes: each is made once."""

    @cache
    def make(recipe: Recipe) -> Compressed:
        return compress_source(llama, tmp_path_factory.mktemp("compressed") / "out", recipe)

    return make


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], list[int]]:
    """A list of the calls that encode vectors, with nothing kept from before; the one of that number is interrupted."""

    def interrupted(at: int) -> list[int]:
        calls: list[int] = []
        encode = vector_weights.quantize

        def counted(*arguments: Any) -> Any:
            calls.append(len(calls))
            if len(calls) == at:
                raise KeyboardInterrupt
            return encode(*arguments)

        monkeypatch.setattr(vector_weights, "quantize", counted)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return calls

    return interrupted
