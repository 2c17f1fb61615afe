"""What needs the exporters' environment: `scripts/test.sh --all` makes it and runs this folder in it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.exporters.checkpoints import bert, llama

collect_ignore_glob = [] if importlib.util.find_spec("optimum") else ["test_*.py"]


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder with its tokenizer, which no test changes."""
    return llama(tmp_path_factory.mktemp("llama") / "hf")


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with its tokenizer, which no test changes."""
    return bert(tmp_path_factory.mktemp("bert") / "hf")
