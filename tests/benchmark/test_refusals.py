"""What cannot be measured is refused in one line, and before anything is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import openvino as ov
import pytest

from tests.cli.command import ENCODER, LLAMA, CommandLine
from tests.processors import on_all_processors

GENERATION = [
    (("--prompt-tokens", "32,-1"), "1 token or more"),
    (("--prompt-tokens", "0"), "1 token or more"),
    (("--prompt-tokens", "32,many"), "32,64,65"),
    (("--prompt-tokens", ""), "32,64,65"),
    (("--prompt-tokens", "32,32"), "repeated"),
    (("--prompt-tokens", "2017"), "2048"),
    (("--output-tokens", "-1"), "2 or more"),
    (("--repeats", "0"), "1 or more"),
    (("--warm-up", "-1"), "0 or more"),
    (("--seed", "-1"), "0 or more"),
    (("--timeout", "0"), "positive"),
    (("--timeout", "nan"), "positive"),
    (("--timeout", "inf"), "positive"),
    (("--timeout", "1e7"), "1,000,000"),
    (("--text", "none.txt"), "none.txt"),
    (("--inputs", __file__), ".xml"),
    (("--property", "NUM_STREAMS"), "NAME=VALUE"),
    (("--plot", "times.bmp"), ".png"),
    ((str(ENCODER),), "separately"),
]


@pytest.mark.parametrize(("arguments", "said"), GENERATION)
def test_bad_options(ovpass: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    assert said in ovpass.refuse("bench", LLAMA, *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--prompt-lookup",), "--prompt-lookup"),
        (("--text", __file__), "--text"),
        (("--inputs", __file__, "--plot", "times.png"), "one length"),
        (("--inputs", __file__, "--prompt-tokens", "8"), "--prompt-tokens"),
        (("--inputs", __file__), "numpy.savez"),
        (("--timeout", "0.001"), "0.001 s"),
    ],
)
def test_bad_options_of_an_encoder(ovpass: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    assert said in ovpass.refuse("bench", ENCODER, *arguments)


@pytest.mark.slow
@pytest.mark.parametrize("model", [LLAMA, ENCODER], ids=["generation", "inference"])
def test_a_property_that_the_plugin_does_not_know(ovpass: CommandLine, model: Path) -> None:
    error = ovpass.refuse("bench", model, f"{model}@NO_SUCH_PROPERTY=1")
    assert f"{model}@NO_SUCH_PROPERTY=1: does not compile on CPU" in error


def test_a_device_that_is_not_there(ovpass: CommandLine) -> None:
    assert "GPU.7" in ovpass.refuse("bench", LLAMA, "--device", "GPU.7")


def test_a_simulated_device(ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SetCommandStreamReceiver", "1")
    assert "simulated" in ovpass.refuse("bench", LLAMA, "--device", "GPU")
    monkeypatch.setenv("SetCommandStreamReceiver", "0")
    assert "simulated" not in ovpass("bench", LLAMA, "--device", "GPU.7").err


def test_a_folder_without_a_tokenizer(ovpass: CommandLine, tmp_path: Path) -> None:
    shutil.copytree(LLAMA, tmp_path / "llama", ignore=shutil.ignore_patterns("*detokenizer*"))
    assert "openvino_detokenizer.xml" in ovpass.refuse("bench", tmp_path / "llama")


@pytest.mark.slow
def test_a_short_context(ovpass: CommandLine, tmp_path: Path) -> None:
    shutil.copytree(LLAMA, tmp_path / "llama")
    (tmp_path / "llama" / "config.json").write_text(json.dumps({"max_position_embeddings": 70}))
    quick = ("--repeats", 1, "--output-tokens", 5)
    found = ovpass.succeed("bench", LLAMA, tmp_path / "llama", *quick, "--json").json
    assert {entry["prompt_tokens"] for entry in found["measurements"]} == {32, 64, 65}
    assert str(tmp_path) in ovpass.refuse("bench", LLAMA, tmp_path / "llama", "--prompt-tokens", "66", *quick)
    (tmp_path / "llama" / "config.json").write_text("{")
    assert "config.json" in ovpass.refuse("bench", tmp_path / "llama")


def test_a_text_that_is_too_short(ovpass: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Too short.")
    assert "text.txt" in ovpass.refuse("bench", LLAMA, "--text", tmp_path / "text.txt")


def test_a_model_that_does_not_run(tmp_path: Path) -> None:
    """It adds eight numbers to each row, whatever its length."""
    x = ov.opset13.parameter([1, -1], ov.Type.f32, "x")
    y = ov.opset13.add(x, ov.opset13.constant([0.0] * 8, ov.Type.f32))
    ov.save_model(ov.Model([y], [x], "model"), tmp_path / "eight.xml", compress_to_fp16=False)
    ran = on_all_processors("bench", tmp_path / "eight.xml", "--prompt-tokens", "8,7")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "with 7 tokens" in ran.stderr
