"""What the tests of the zoo share: a tokenizer, one compilation of every model on the GPU plugin."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

DEVICE = "arc-b580"
"""It has all rules of an Arc A770, and the rule of 128."""


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one that makes a token of each letter, for the zoo has none: ids stay below its 256."""
    folder = tmp_path_factory.mktemp("tokenizer")
    letters = Tokenizer(WordLevel({"?": 0, **{chr(code): code for code in range(1, 127) if code != ord("?")}}, "?"))
    letters.pre_tokenizer = Split("", "isolated")
    letters.save(str(folder / "tokenizer.json"))
    return folder
