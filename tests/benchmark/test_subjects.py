"""How models and their properties are named, and what the models themselves ask for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import ovpass
from ovpass.benchmark.subjects import parse_subject
from ovpass.errors import SettingsError
from ovpass.ir.model_config import context_length, read_config
from tests.cli.command import ENCODER, LLAMA

F32 = {"INFERENCE_PRECISION_HINT": "f32"}


def test_properties_of_its_own_win() -> None:
    subject = parse_subject(f"{LLAMA}@A_B=1,C=x:y", "CPU", {"A_B": "2", "D": "3"})
    assert subject.properties == {"A_B": "1", "C": "x:y", "D": "3"}
    assert (subject.path, subject.generates, subject.context) == (LLAMA, True, 2048)


@pytest.mark.parametrize("text", ["@64", "@group_size=64", "@DYNAMIC_QUANTIZATION_GROUP_SIZE=64"])
def test_a_group_size_is_the_plugins_property(text: str) -> None:
    assert parse_subject(f"{LLAMA}{text}", "CPU").properties == {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "64"}


@pytest.mark.parametrize("text", ["@a=1", "@A", "@A=", "@A=1,", "@A=1,b=2", "@=1"])
def test_what_is_no_property(text: str) -> None:
    with pytest.raises(SettingsError, match=LLAMA.name):
        parse_subject(f"{LLAMA}{text}", "CPU")


def test_an_at_sign_in_a_name(tmp_path: Path) -> None:
    folder = tmp_path / "user@host=1" / "llama@int4"
    shutil.copytree(LLAMA, folder)
    assert parse_subject(f"{folder}@A=1", "CPU").path == folder
    named = Path(shutil.copytree(LLAMA, tmp_path / "llama@B=1"))
    assert parse_subject(str(named), "CPU").path == named
    assert parse_subject(f"{named}@A=1", "CPU").properties == {"A": "1"}


def test_only_a_language_model_s_folder_generates(tmp_path: Path) -> None:
    assert not parse_subject(str(LLAMA / "openvino_model.xml"), "CPU").generates
    shutil.copytree(ENCODER, tmp_path / "encoder")
    for name in ("openvino_tokenizer", "openvino_detokenizer"):
        for suffix in (".xml", ".bin"):
            shutil.copyfile(LLAMA / f"{name}{suffix}", tmp_path / "encoder" / f"{name}{suffix}")
    assert not parse_subject(str(tmp_path / "encoder"), "CPU").generates


def test_the_context_of_a_model_with_images(tmp_path: Path) -> None:
    shutil.copytree(LLAMA, tmp_path / "llama")
    (tmp_path / "llama" / "config.json").write_text(json.dumps({"text_config": {"max_position_embeddings": 77}}))
    assert parse_subject(str(tmp_path / "llama"), "CPU").context == 77


@pytest.mark.parametrize("length", [None, [], "x", 1.5, True, 0, -1])
def test_a_context_that_is_no_number_is_none(length: object, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": length}))
    assert context_length(read_config(tmp_path)) is None


@pytest.mark.parametrize("config", ["[]", "3", "null"])
def test_a_configuration_without_names_tells_nothing(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    assert read_config(tmp_path) == {}


def test_what_apply_noted_is_kept_to(tmp_path: Path) -> None:
    on_cpu, on_gpu = tmp_path / "cpu", tmp_path / "gpu"
    ovpass.transform(LLAMA, on_cpu, ovpass.Settings(group_size=32, target="cpu"))
    ovpass.transform(LLAMA, on_gpu, ovpass.Settings(group_size=64, threshold=128))
    assert parse_subject(str(on_cpu), "CPU").properties == F32
    assert parse_subject(f"{on_cpu}@INFERENCE_PRECISION_HINT=bf16", "CPU").properties != F32
    assert parse_subject(str(on_cpu), "GPU").properties == {}
    subject = parse_subject(str(on_gpu), "GPU")
    assert subject.environment == {"OV_GPU_DYNAMIC_QUANTIZATION_THRESHOLD": "128"}
    assert subject.thresholds == (128,)
    assert parse_subject(str(on_gpu), "CPU").thresholds == ()


def test_thresholds_in_the_graph_hold_on_any_device(tmp_path: Path) -> None:
    ovpass.transform(LLAMA, tmp_path / "out", ovpass.Settings(lowering="emulate", group_size=32, threshold=48))
    assert {parse_subject(str(tmp_path / "out"), device).thresholds for device in ("CPU", "GPU")} == {(48,)}
