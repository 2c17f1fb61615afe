"""Tokens of a text: OpenVINO's tokenizers and Hugging Face's."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from tokenizers import Tokenizer as HuggingFace
from tokenizers import decoders, models, pre_tokenizers, processors

from ovpass.errors import TextError
from ovpass.evaluation.corpus import read_text
from ovpass.evaluation.tokenizer import Ids, Tokenizer, load_tokenizer
from tests.cli.command import LLAMA

SPECIAL = ("<pad>", "<s>", "</s>")
LONGEST = 16


def byte_level(folder: Path, *, special: bool = False) -> Path:
    """The tokenizer.json of a byte-level tokenizer without merges; special tokens around a text if asked for."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: number for number, token in enumerate([*SPECIAL, *letters])}
    tokenizer = HuggingFace(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    tokenizer.enable_truncation(LONGEST)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def as_hugging_face(xml: Path, folder: Path) -> Path:
    """A tokenizer.json with the vocabulary and the merges of an OpenVINO tokenizer."""
    constants = inputs_of(xml, "BPETokenizer")
    vocab, left, right = (strings(*constants[first : first + 3]) for first in (5, 8, 11))
    merges = list(zip(left, right, strict=True))
    tokenizer = HuggingFace(models.BPE(vocab={token: number for number, token in enumerate(vocab)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def inputs_of(xml: Path, kind: str) -> list[bytes]:
    """What an op's inputs hold that are Constants, by port; b"" for the others."""
    root, content = ElementTree.parse(xml).getroot(), xml.with_suffix(".bin").read_bytes()
    layers = {layer.attrib["id"]: layer for layer in root.iter("layer")}
    (step,) = (number for number, layer in layers.items() if layer.attrib["type"] == kind)
    edges = [edge.attrib for edge in root.iter("edge") if edge.attrib["to-layer"] == step]
    found = []
    for edge in sorted(edges, key=lambda edge: int(edge["to-port"])):
        data = layers[edge["from-layer"]].find("data[@offset]")
        start, size = (0, 0) if data is None else (int(data.attrib["offset"]), int(data.attrib["size"]))
        found.append(content[start : start + size])
    return found


def strings(begins: bytes, ends: bytes, content: bytes) -> list[str]:
    """The strings of a vocabulary, in the letters that byte-level tokenizers write bytes with (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {**{byte: chr(byte) for byte in printable}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}
    spans = zip(np.frombuffer(begins, np.int32), np.frombuffer(ends, np.int32), strict=True)
    return ["".join(letters[byte] for byte in content[start:end]) for start, end in spans]


def test_both_kinds_agree(tmp_path: Path) -> None:
    text = read_text()[:20000]
    openvino = load_tokenizer(LLAMA).encode(text)
    other = load_tokenizer(as_hugging_face(LLAMA / "openvino_tokenizer.xml", tmp_path)).encode(text)
    assert len(openvino) < len(text)
    assert np.array_equal(openvino, other)


def test_special_tokens_open_sequences_and_are_not_in_the_text(tmp_path: Path) -> None:
    plain = load_tokenizer(byte_level(tmp_path))
    assert plain.prefix.tolist() == []
    expected = plain.encode("any text").tolist()
    special = load_tokenizer(byte_level(tmp_path, special=True))
    assert special.prefix.tolist() == [1]
    assert special.encode("any text").tolist() == expected
    assert special.encode_at_once("any text").tolist() == expected


@pytest.mark.parametrize(
    "text", ["x" * 1000, "some words\n" * 200, "\n" * 600, "", "a line without an end " * 40 + "\n"]
)
def test_nothing_is_cut_off(tmp_path: Path, text: str) -> None:
    """Though the tokenizer's own length is 16."""
    for special in (False, True):
        tokenizer = load_tokenizer(byte_level(tmp_path, special=special))
        assert len(tokenizer.encode(text)) == len(text)
    table = HuggingFace.from_file(str(tmp_path / "tokenizer.json"))
    table.no_truncation()
    assert table.decode(tokenizer.encode(text).tolist()) == text


def test_a_long_text_with_openvinos() -> None:
    text = read_text()
    pieces = load_tokenizer(LLAMA).encode(text)
    assert pieces.dtype == np.int64
    assert np.array_equal(pieces, load_tokenizer(LLAMA).encode_at_once(text))  # this one has no length of its own


def test_no_more_of_a_text_is_read_than_is_wanted() -> None:
    read: list[str] = []

    def encode(piece: str) -> Ids:
        read.append(piece)
        return np.frombuffer(piece.encode(), np.uint8).astype(np.int64)

    tokenizer, text = Tokenizer(encode, np.zeros(0, np.int64)), "a line of text\n" * 500
    whole = tokenizer.encode(text)
    for wanted in (0, 1, 400, len(text), len(text) + 1):
        read.clear()
        first = tokenizer.encode(text, wanted)
        assert min(wanted, len(text)) <= len(first) < wanted + 300
        assert np.array_equal(first, whole[: len(first)])
        assert sum(map(len, read)) == len(first)


def test_openvinos_comes_first(llama: Path) -> None:
    byte_level(llama)
    assert np.array_equal(load_tokenizer(llama).encode("the"), load_tokenizer(LLAMA).encode("the"))


@pytest.mark.parametrize("name", ["tokenizer.json", "openvino_tokenizer.xml"])
def test_a_broken_tokenizer_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{")
    with pytest.raises(TextError, match=name):
        load_tokenizer(tmp_path)


def test_texts_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    for name in ("empty.txt", "latin.txt", "none.txt", "."):
        with pytest.raises(TextError):
            read_text(tmp_path / name)
