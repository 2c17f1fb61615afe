"""Inputs that are damaged, or made to do damage; a disk that is full; a network that is not asked for."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from ovpass.conversion.convert import convert_source
from ovpass.conversion.hugging_face_folder import check_weights
from ovpass.conversion.source import Options
from ovpass.errors import ModelError
from tests.cli.command import MODELS, CommandLine, contents, limited
from tests.conversion.gguf_files import write_gguf
from tests.conversion.telemetry import consents
from tests.conversion.test_convert import hugging_face

ONNX = MODELS / "onnx/matmulnbits_u4_level4.onnx"
GGUF = Path(__file__).with_name("tiny-q4_1.gguf")


@pytest.mark.parametrize(
    "config",
    [
        {"quantization_config": "gptq"},
        {"quantization_config": ["gptq"]},
        {"architectures": 5},
        {"architectures": [None]},
        {"architectures": "LlamaForCausalLM"},
    ],
)
def test_configurations_of_wrong_types(ovpass: CommandLine, tmp_path: Path, config: dict[str, Any]) -> None:
    hugging_face(tmp_path / "in", **config)
    before = contents(tmp_path)
    ovpass.refuse("convert", tmp_path / "in", "-o", tmp_path / "out")
    assert contents(tmp_path) == before


def test_json_without_an_end(ovpass: CommandLine, tmp_path: Path) -> None:
    hugging_face(tmp_path / "in")
    (tmp_path / "in/config.json").write_text("[" * 200_000)
    assert "JSON" in ovpass.refuse("convert", tmp_path / "in", "-o", tmp_path / "out")


@pytest.mark.parametrize("parts", [None, ["a"], "a", {"a": 1}, {"a": ["b"]}, {"a": None}])
def test_indices_that_name_no_files(tmp_path: Path, parts: Any) -> None:
    folder = hugging_face(tmp_path / "in")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    with pytest.raises(ModelError, match=r"index\.json: its weight_map"):
        check_weights(folder)


def test_an_index_of_files_that_nobody_reads(tmp_path: Path) -> None:
    """Left over from a download of the safetensors alone."""
    folder = hugging_face(tmp_path / "in")
    index = folder / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "pytorch_model-1.bin"}}))
    check_weights(folder)
    (folder / "model.safetensors").rename(folder / "other.bin")
    with pytest.raises(ModelError, match=r"pytorch_model-1\.bin, which is missing"):
        check_weights(folder)


@pytest.mark.parametrize("offsets", [[0], [0, "four"], [0, None], [0, float("inf")], [0, 1 << 80], {}, 4])
def test_tensors_that_lie_nowhere(tmp_path: Path, offsets: Any) -> None:
    folder = hugging_face(tmp_path / "in")
    header = json.dumps({"weight": {"data_offsets": offsets}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    with pytest.raises(ModelError, match=r"model\.safetensors: is"):
        check_weights(folder)


def test_a_link_to_weights_that_are_gone(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "in")
    (folder / "more.safetensors").symlink_to("gone")
    with pytest.raises(ModelError, match=r"more\.safetensors"):
        check_weights(folder)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"attention.head_count\4\0\0\0\2", b"attention.head_count\4\0\0\0\0"),
        (b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0\xffffff"),
    ],
    ids=["no heads", "no text"],
)
def test_metadata_that_make_no_sense(tmp_path: Path, exact: bool, before: bytes, after: bytes) -> None:
    content = write_gguf(tmp_path / "in.gguf").read_bytes()
    assert before in content
    (tmp_path / "in.gguf").write_bytes(content.replace(before, after, 1))
    with pytest.raises(ModelError, match=r"in\.gguf"):
        convert_source(tmp_path / "in.gguf", tmp_path / "out", Options(exact=exact))
    assert [path.name for path in tmp_path.iterdir()] == ["in.gguf"]


def test_a_tensor_type_that_is_not_known(ovpass: CommandLine, tmp_path: Path) -> None:
    """The type stands behind the name of a tensor, the number of its dimensions, and those."""
    content = bytearray(write_gguf(tmp_path / "in.gguf").read_bytes())
    name = b"blk.0.ffn_up.weight"
    place = content.index(name) + len(name) + 4 + 2 * 8
    content[place : place + 4] = struct.pack("<I", 99)
    (tmp_path / "in.gguf").write_bytes(content)
    said = ovpass.refuse("convert", tmp_path / "in.gguf", "-o", tmp_path / "out")
    assert "(99) is not a valid GGMLQuantizationType" in said
    assert "upgrade the package gguf" in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.gguf"]


def test_a_template_that_is_no_text(tmp_path: Path) -> None:
    content = write_gguf(tmp_path / "in.gguf").read_bytes()
    (tmp_path / "in.gguf").write_bytes(content.replace(b"{% for message", b"{% for \xffessage"))
    with pytest.raises(ModelError, match=r"chat_template cannot be read"):
        convert_source(tmp_path / "in.gguf", tmp_path / "out", Options(exact=True))


def test_onnx_names_that_are_no_text(tmp_path: Path) -> None:
    content = ONNX.read_bytes()
    assert b"q.product" in content
    (tmp_path / "in.onnx").write_bytes(content.replace(b"q.product", b"q.pr\xff\xfeuct"))
    with pytest.raises(ModelError, match=r"in\.onnx: is damaged"):
        convert_source(tmp_path / "in.onnx", tmp_path / "out")


@pytest.mark.parametrize("source", [ONNX, GGUF], ids=["onnx", "gguf"])
def test_a_full_disk(tmp_path: Path, source: Path) -> None:
    ran = limited(20_000, "convert", source, "-o", tmp_path / "out")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"{tmp_path / 'out'}: cannot be written" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_no_statistics_are_sent(tmp_path: Path) -> None:
    sent = consents("ovpass.conversion.convert", "convert_source", ONNX, tmp_path / "out")
    assert sent
    assert not any(sent)
