"""ovpass evaluate on the command line."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ovpass as package
from ovpass import Settings
from ovpass.reporting.runs import make_run
from tests.cli.command import ENCODER, LLAMA, CommandLine
from tests.evaluation.models import llama_folder
from tests.ir.files import constants

QUICK = ("--windows", 2, "--window-tokens", 96)
SUMMARY = {"perplexity", "perplexity_delta_percent", "kl", "top1_agreement", "windows", "tokens"}


@pytest.mark.slow
@pytest.mark.parametrize("candidate", ["@per-token", "@lowering=emulate,group_size=1,threshold=0", ""])
def test_tables_fit_80_columns(ovpass: CommandLine, tmp_path: Path, candidate: str) -> None:
    shutil.copytree(LLAMA, tmp_path / "m")
    ran = ovpass.succeed("evaluate", ENCODER.parent / "tiny-llama-int4", f"{tmp_path}/m{candidate}", *QUICK)
    tables = ran.out.partition("Reference: ")[0].splitlines()
    assert max(map(len, tables)) <= 80
    cells = [line.split() for line in tables]
    assert [len(row) for row in cells if row[:1] == ["1"] and "to" not in row] == [9]
    assert [len(row) for row in cells if row[:1] == ["weights"]] == [9]


@pytest.mark.slow
def test_the_report(ovpass: CommandLine) -> None:
    report = ovpass.succeed("evaluate", LLAMA, LLAMA, f"{LLAMA}@per-token", *QUICK, "--json").json
    assert report["reference"] == str(LLAMA)
    assert report["reference_perplexity"] > 1
    assert "reference_harness" not in report
    itself, changed = report["candidates"]
    assert changed["model"] == f"{LLAMA}@per-token"
    assert set(changed) >= SUMMARY | {"runs", "weights", "activations", "seconds"}
    assert itself["perplexity_delta_percent"] == 0
    assert (changed["windows"], changed["tokens"]) == (2, 190)
    kl = changed["kl"]
    assert 0 < kl["median"] <= kl["p99"] <= kl["max"]
    assert kl["mean_interval"][0] <= kl["mean"] <= kl["mean_interval"][1]
    assert changed["weights"] is None
    assert changed["activations"]["kl"] == kl


@pytest.mark.slow
def test_a_model_that_gives_no_numbers(ovpass: CommandLine, llama: Path) -> None:
    _, offset, size = next(c for c in constants(llama / "openvino_model.xml") if c[0].endswith("/scale"))
    with (llama / "openvino_model.bin").open("r+b") as stream:
        stream.seek(offset)
        stream.write(np.full(size // 2, np.nan, np.float16).tobytes())
    report = ovpass.succeed("evaluate", LLAMA, llama, *QUICK, "--json").json
    (broken,) = report["candidates"]
    assert broken["perplexity"] is None
    assert broken["kl"]["mean"] is None
    assert broken["perplexity_delta_interval"] is None
    assert math.isnan(make_run(report, "run.json").found.candidates[0].kl.mean)


@pytest.mark.slow
def test_an_encoder(ovpass: CommandLine) -> None:
    options = ("--tokenizer", LLAMA, "--windows", 2, "--window-tokens", 20)
    ran = ovpass.succeed("evaluate", ENCODER, f"{ENCODER}@32,profile=cpu", *options)
    assert "last_hidden_state" in ran.out
    report = ovpass.succeed("evaluate", ENCODER, f"{ENCODER}@32,profile=cpu", *options, "--json").json
    (output,) = report["candidates"][0]["outputs"]
    assert 0.9 < output["cosine"]["value"] < 1


@pytest.mark.slow
@pytest.mark.parametrize("candidate", ["@100", "@exempt=kind:attn.q,group_size=100"])
def test_a_candidate_that_is_not_quantized_is_refused(ovpass: CommandLine, candidate: str) -> None:
    args = ("evaluate", LLAMA, f"{LLAMA}@per-token", f"{LLAMA}{candidate}", *QUICK)
    assert f"{LLAMA}{candidate}: nothing is quantized" in ovpass.refuse(*args)


def test_exempting_all_is_no_mistake(ovpass: CommandLine) -> None:
    found = ovpass.succeed("evaluate", LLAMA, f"{LLAMA}@exempt=re:.*", *QUICK, "--json").json["candidates"][0]
    assert found["kl"]["max"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("model", "more"), [(LLAMA, ()), (ENCODER, ("--tokenizer", LLAMA))], ids=["text", "arrays"])
def test_windows_within_the_threshold_are_refused(ovpass: CommandLine, model: Path, more: tuple[object, ...]) -> None:
    options = (*more, "--windows", 1, "--window-tokens")
    refused = ovpass.refuse("evaluate", model, f"{model}@per-token", *options, 64)
    assert "64 tokens are within the threshold of 64" in refused
    for candidate, tokens in (("per-token", 65), ("per-token,threshold=0", 64), ("32,profile=cpu", 64)):
        ovpass.succeed("evaluate", model, f"{model}@{candidate}", *options, tokens)


def test_quiet(ovpass: CommandLine) -> None:
    assert ovpass.succeed("evaluate", LLAMA, LLAMA, *QUICK, "--quiet").out == ""


def refusals(folder: Path) -> dict[str, list[Any]]:
    """Arguments, and what the error says."""
    (folder / "short.txt").write_text("a few words")
    shutil.copytree(LLAMA, folder / "bare", ignore=shutil.ignore_patterns("*tokenizer*"))
    llama_folder(folder / "other", vocab=400)
    llama_folder(folder / "plain", fmt="w_f32_plain", lm_head_fmt="w_f32_plain")
    package.transform(LLAMA, folder / "applied", Settings(group_size=32))
    return {
        "candidates": [LLAMA],
        "no such file": [LLAMA, folder / "none"],
        "has no tokenizer": [folder / "bare", LLAMA],
        "the text has": [LLAMA, LLAMA, "--text", folder / "short.txt"],
        "profile 'npu'": [LLAMA, LLAMA, "--profile", "npu"],
        "one vocabulary": [LLAMA, folder / "other"],
        "compressed weights": [LLAMA, f"{folder}/plain@per-token"],
        "already has a plan": [LLAMA, f"{folder}/applied@per-token"],
        "did you mean 'group_size'": [LLAMA, f"{LLAMA}@grop_size=3"],
        "matches no site": [LLAMA, f"{LLAMA}@exempt=layer:7"],
        "CPU, GPU": [LLAMA, LLAMA, "--device", "NPU"],
        "use one or more": [LLAMA, LLAMA, "--windows", 0],
        "does not compile": [LLAMA, f"{LLAMA}@INFERENCE_PRECISION_HINT=f1"],
    }


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    return refusals(tmp_path_factory.mktemp("refused"))


@pytest.mark.parametrize("number", range(13))
def test_refusals(ovpass: CommandLine, refused: dict[str, list[Any]], number: int) -> None:
    assert len(refused) == 13
    words, arguments = list(refused.items())[number]
    assert words in ovpass.refuse("evaluate", *QUICK, *arguments)


def test_a_simulated_gpu_computes_nothing(ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = {"NEOReadDebugKeys": "1", "SetCommandStreamReceiver": "1", "AUBDumpCaptureFileName": "/dev/null"}
    for name, value in recording.items():
        monkeypatch.setenv(name, value)
    assert "simulates" in ovpass.refuse("evaluate", LLAMA, LLAMA, "--device", "gpu")
