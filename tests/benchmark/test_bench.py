"""`ovpass bench` on real models: what it reports, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from ovpass.benchmark.messages import Sample
from ovpass.benchmark.process import running
from ovpass.benchmark.subjects import parse_subject
from ovpass.benchmark.workload import DEFAULT_LENGTHS, Workload
from ovpass.errors import VerifyError
from tests.builders import linear_model
from tests.cli.command import ENCODER, LLAMA, MODELS, CommandLine
from tests.processors import on_all_processors
from tests.support.processes import alive, children, wait_until

pytestmark = pytest.mark.slow

INTERRUPTIBLE = """# also where the tests run in the background, and what they start would ignore it
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from ovpass.cli.main import main
main()
"""
QUICK = ("--repeats", 3, "--output-tokens", 4)


def check(series: dict[str, Any], repeats: int, *, first: bool) -> None:
    """One metric of one model at one length."""
    assert len(series["samples"]) == repeats
    assert min(series["samples"]) > 0
    assert series["median"] == float(np.median(series["samples"]))
    if first:
        assert (series["ratio"], series["interval"]) == (None, None)
    else:
        low, high = series["interval"]
        assert 0 < low <= series["ratio"] <= high


def test_generation(ovpass: CommandLine) -> None:
    models = (LLAMA, f"{LLAMA}@INFERENCE_PRECISION_HINT=f32,DYNAMIC_QUANTIZATION_GROUP_SIZE=64")
    found = ovpass.succeed("bench", *models, "--prompt-tokens", "1,65", *QUICK, "--json").json
    assert [entry["model"] for entry in found["subjects"]] == [str(model) for model in models]
    effective = found["subjects"][1]["effective_properties"]
    assert effective["NETWORK_NAME"] == "model"  # not a tokenizer
    assert (effective["INFERENCE_PRECISION_HINT"], effective["DYNAMIC_QUANTIZATION_GROUP_SIZE"]) == ("f32", "64")
    assert found["subjects"][0]["effective_properties"]["DYNAMIC_QUANTIZATION_GROUP_SIZE"] == "32"
    places = [(entry["prompt_tokens"], entry["subject"]) for entry in found["measurements"]]
    assert places == [(1, 0), (1, 1), (65, 0), (65, 1)]
    for entry in found["measurements"]:
        for metric in ("ttft_ms", "tpot_ms"):
            check(entry[metric], 3, first=entry["subject"] == 0)
    for subject in found["subjects"]:
        assert 0 < subject["load_peak_mb"] <= subject["peak_mb"]
        assert subject["load_seconds"] > 0
    assert found["device_name"]
    assert found["openvino"] == ov.get_version()
    assert (found["openvino_genai"][:4], found["cpus"]) == (ov.get_version()[:4], os.cpu_count())


def test_prompt_lookup_with_a_text(ovpass: CommandLine) -> None:
    arguments = (
        "--prompt-tokens",
        "16,40",
        "--prompt-lookup",
        "--text",
        MODELS / "README.md",
        "--property",
        "NUM_STREAMS=1",
    )
    found = ovpass.succeed("bench", LLAMA, *arguments, *QUICK, "--json").json
    assert found["prompt_lookup"]
    assert found["subjects"][0]["properties"] == {"NUM_STREAMS": "1"}
    for entry in found["measurements"]:
        check(entry["tpot_ms"], 3, first=True)


def test_encoder_in_parallel() -> None:
    many = f"{ENCODER}@PERFORMANCE_HINT=THROUGHPUT,NUM_STREAMS=2"
    found = json.loads(on_all_processors("bench", ENCODER, many, "--repeats", 3, "--json").stdout)
    assert [entry["parallel_requests"] for entry in found["subjects"]] == [1, 2]
    assert {entry["prompt_tokens"] for entry in found["measurements"]} == set(DEFAULT_LENGTHS)
    for entry in found["measurements"]:
        check(entry["latency_ms"], 3, first=entry["subject"] == 0)
        check(entry["inferences_per_second"], 3, first=entry["subject"] == 0)


def test_a_stateful_model_starts_anew(ovpass: CommandLine) -> None:
    # Without a reset the mask would be too short for the cache at the second inference.
    ovpass.succeed("bench", LLAMA / "openvino_model.xml", "--prompt-tokens", "9", "--repeats", 2, "--json")


def test_given_inputs(ovpass: CommandLine, tmp_path: Path) -> None:
    ids = np.ones((2, 7), np.int64)
    np.savez(tmp_path / "in.npz", input_ids=ids, attention_mask=ids, token_type_ids=0 * ids)
    found = ovpass.succeed("bench", ENCODER, "--inputs", tmp_path / "in.npz", "--repeats", 2, "--json").json
    (entry,) = found["measurements"]
    assert entry["prompt_tokens"] is None
    assert len(entry["latency_ms"]["samples"]) == 2
    np.savez(tmp_path / "ids.npz", input_ids=ids)
    assert "attention_mask" in ovpass.refuse("bench", ENCODER, "--inputs", tmp_path / "ids.npz")


def test_static_shapes_have_no_length_to_choose(ovpass: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "static.xml"
    ov.save_model(linear_model(static_tokens=16, rank=2), path, compress_to_fp16=False)
    found = ovpass.succeed("bench", path, "--repeats", 1, "--warm-up", 0, "--json").json
    assert [entry["prompt_tokens"] for entry in found["measurements"]] == [None]
    assert "--prompt-tokens" in ovpass.refuse("bench", path, "--prompt-tokens", "8")


def test_tables_fit_a_terminal(ovpass: CommandLine) -> None:
    longer = f"{LLAMA}@INFERENCE_PRECISION_HINT=f32,DYNAMIC_QUANTIZATION_GROUP_SIZE=32"
    shown = ovpass.succeed("bench", LLAMA, longer, "--prompt-tokens", "32", *QUICK).out
    assert max(map(len, shown.splitlines())) <= 80
    assert [word in shown for word in ("TTFT", "TPOT", "#2", "f32")] == [True] * 4


def test_a_picture(ovpass: CommandLine, tmp_path: Path) -> None:
    ovpass.succeed("apply", ENCODER, "-o", tmp_path / "$m$", "--lowering", "emulate", "--threshold", 40, "--quiet")
    sweep = ("--prompt-tokens", "32,64", "--repeats", 2, "--quiet")
    assert ovpass.succeed("bench", ENCODER, tmp_path / "$m$", *sweep, "--plot", tmp_path / "times.svg").out == ""
    assert "threshold 40" in (tmp_path / "times.svg").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["$m$", "times.svg"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_it_leaves_no_process(end: signal.Signals) -> None:
    arguments = ["bench", str(ENCODER), str(ENCODER), "--repeats", "1000000"]
    bench = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: len(children(bench.pid)) == 2)
        below = children(bench.pid)
        bench.send_signal(end)
        out, err = bench.communicate(timeout=300)
    finally:
        bench.kill()
    assert bench.returncode == {signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}[end]
    assert out == ""
    assert "Traceback" not in err
    wait_until(lambda: not any(map(alive, below)))


def test_a_model_that_takes_its_process_down() -> None:
    workload = Workload(lengths=(8,))
    others = set(children(os.getpid()))
    with running(parse_subject(str(ENCODER), "CPU"), workload) as model:
        (child,) = set(children(os.getpid())) - others
        assert model.load().sweeps
        assert model.measure(Sample(8, 0)).values["latency_ms"] > 0
        os.kill(child, signal.SIGKILL)
        with pytest.raises(VerifyError, match="SIGKILL"):
            model.measure(Sample(8, 1))
    assert not alive(child)
