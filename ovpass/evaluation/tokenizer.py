"""Tokenize text with the tokenizer of a model folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ovpass.errors import OvpassError, TextError
from ovpass.support.extras import extra_module

Ids = npt.NDArray[np.int64]

_OPENVINO = "openvino_tokenizer.xml"
_HUGGING_FACE = "tokenizer.json"
_PIECE = 256


@dataclass(frozen=True)
class Tokenizer:
    """`encode_at_once` gives the ids of a text without special tokens; `prefix` and `suffix` are around every sequence.

    `encode_at_once` may cut a text off at the length of the model's context.
    """

    encode_at_once: Callable[[str], Ids]
    prefix: Ids
    suffix: Ids = field(default_factory=lambda: np.zeros(0, np.int64))

    def encode(self, text: str, at_least: int | None = None) -> Ids:
        """The ids of a text of any length, cut at ends of lines, where tokens could span them.

        With `at_least`, the first so many ids and a few more, or all where the text has fewer.
        """
        parts: list[Ids] = []
        known = 0
        for piece in _pieces(text):
            parts.append(self.encode_at_once(piece))
            known += len(parts[-1])
            if at_least is not None and known >= at_least:
                break
        return np.concatenate(parts)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The OpenVINO tokenizer in `folder`, or its Hugging Face tokenizer.json.

    Raises:
        TextError: if there is neither, or it cannot be read.
        ExtraError: if the package for it is not installed.
    """
    for name, load in ((_OPENVINO, _openvino), (_HUGGING_FACE, _hugging_face)):
        if (folder / name).is_file():
            try:
                return load(folder / name)
            except OvpassError:
                raise
            except Exception as error:  # both libraries raise bare ones
                raise TextError(f"{folder / name}: cannot be read as a tokenizer: {error}") from error
    raise TextError(
        f"{folder}: has no tokenizer ({_OPENVINO} or {_HUGGING_FACE}); "
        "convert one with convert_tokenizer of openvino-tokenizers, or name a folder with --tokenizer"
    )


def _openvino(path: Path) -> Tokenizer:
    import openvino as ov  # noqa: PLC0415

    # Its import makes the operations of tokenizers known to OpenVINO.
    extra_module("openvino_tokenizers", "eval", "reading an OpenVINO tokenizer")
    compiled = ov.Core().compile_model(path, "CPU")

    def with_special(text: str) -> Ids:
        ids: Ids = np.asarray(compiled([text])["input_ids"], np.int64)[0]
        return ids

    return _without_prefix(with_special)


def _hugging_face(path: Path) -> Tokenizer:
    tokenizers = extra_module("tokenizers", "eval", "reading a Hugging Face tokenizer")
    tokenizer = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return _without_prefix(lambda text: np.asarray(tokenizer.encode(text).ids, np.int64))


def _without_prefix(with_special: Callable[[str], Ids]) -> Tokenizer:
    """Tell the special tokens by what two different texts have in common at both ends."""
    first, second = with_special("a"), with_special("7")
    shared = next((i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), 0)
    tail = next((i for i, pair in enumerate(zip(first[::-1], second[::-1], strict=False)) if pair[0] != pair[1]), 0)

    def encode_at_once(text: str) -> Ids:
        ids = with_special(text)
        return ids[shared : len(ids) - tail]

    return Tokenizer(encode_at_once, first[:shared], first[len(first) - tail :])


def _pieces(text: str) -> Iterator[str]:
    """The text cut at ends of lines into pieces of a few lines; a line is never cut."""
    start = 0
    while len(text) - start > _PIECE:
        end = text.rfind("\n", start, start + _PIECE) + 1 or text.find("\n", start + _PIECE) + 1 or len(text)
        yield text[start:end]
        start = end
    yield text[start:]
