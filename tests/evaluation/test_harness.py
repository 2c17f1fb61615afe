"""Tasks of lm-evaluation-harness: its numbers against those by hand, and what is refused."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from scipy.special import log_softmax

from ovpass.errors import ModelError, OvpassError, TextError
from ovpass.evaluation.candidates import parse_candidate
from ovpass.evaluation.harness import Harness, Tasks
from ovpass.evaluation.options import HarnessOptions
from ovpass.evaluation.tokenizer import load_tokenizer
from tests.cli.command import LLAMA, MODELS, CommandLine

pytestmark = pytest.mark.slow

TASKS = Path(__file__).parent / "tasks"
ITEMS = [json.loads(line) for line in (TASKS / "general_knowledge.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks' paths are relative to it."""
    monkeypatch.chdir(MODELS.parent)


def asked(*tasks: str, limit: int | None = None, folder: Path = LLAMA) -> Tasks:
    harness = Harness(HarnessOptions(tasks, TASKS, limit), folder)
    return harness.run(parse_candidate(str(LLAMA)), []).reference


@cache
def clean() -> ov.CompiledModel:
    config = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0", "KV_CACHE_PRECISION": "f32"}
    return ov.Core().compile_model(LLAMA / "openvino_model.xml", "CPU", config)


def log_probabilities(ids: list[int]) -> Any:
    """ln p of each token but the first, [tokens - 1], by the model itself in f32."""
    request = clean().create_infer_request()
    row = np.array([ids])
    positions = np.arange(len(ids))[None]
    inputs = {"input_ids": row, "attention_mask": np.ones_like(row), "position_ids": positions}
    logits = request.infer({**inputs, "beam_idx": np.zeros(1, np.int32)})["logits"][0].astype(np.float64)
    return log_softmax(logits[:-1], -1)[np.arange(len(ids) - 1), ids[1:]]


def test_multiple_choice_by_hand() -> None:
    encode = load_tokenizer(LLAMA).encode_at_once
    right, right_by_length = [], []
    for item in ITEMS:
        context = f"Question: {item['question']}\nAnswer:"
        shown = len(encode(context))
        sums = []
        for choice in item["choices"]:
            sums.append(log_probabilities(encode(f"{context} {choice}").tolist())[shown - 1 :].sum())
        lengths = np.array([len(choice) for choice in item["choices"]])
        right.append(np.argmax(sums) == item["answer"])
        right_by_length.append(np.argmax(sums / lengths) == item["answer"])
    scores = asked("general_knowledge")["general_knowledge"]
    assert scores["acc"].value == pytest.approx(np.mean(right))
    assert scores["acc"].stderr == pytest.approx(np.std(right, ddof=1) / len(right) ** 0.5)
    assert scores["acc_norm"].value == pytest.approx(np.mean(right_by_length))


def test_whole_texts_by_hand() -> None:
    """Bits by byte of all questions; each is opened by the <s> that config.json names."""
    encode = load_tokenizer(LLAMA).encode
    texts = [item["question"] for item in ITEMS]
    nats = sum(log_probabilities([1, *encode(text).tolist()]).sum() for text in texts)
    expected = -nats / sum(len(text.encode()) for text in texts) / np.log(2)
    scores = asked("sentences")["sentences"]
    assert scores["bits_per_byte"].value == pytest.approx(expected, rel=1e-5)  # sums in f32 of another order


def test_texts_longer_than_the_context_are_cut_into_windows(tmp_path: Path) -> None:
    for name in ("openvino_tokenizer.xml", "openvino_tokenizer.bin"):
        (tmp_path / name).symlink_to(LLAMA / name)
    (tmp_path / "config.json").write_text('{"eos_token_id": [1], "max_position_embeddings": 8}')
    encode = load_tokenizer(LLAMA).encode
    nats, count = 0.0, 0
    for item in ITEMS:
        tokens = [1, *encode(item["question"]).tolist()]
        first = tokens[:9]
        nats += log_probabilities(first).sum()
        for end in range(9, len(tokens), 8):
            size = min(8, len(tokens) - end)
            nats += log_probabilities(tokens[end + size - 9 : end + size])[-size:].sum()
        count += len(item["question"].encode())
    scores = asked("sentences", folder=tmp_path)["sentences"]
    assert scores["bits_per_byte"].value == pytest.approx(-nats / count / np.log(2), rel=1e-5)


def test_a_text_without_context_needs_a_token_to_open_it(tmp_path: Path) -> None:
    for name in ("openvino_tokenizer.xml", "openvino_tokenizer.bin"):
        (tmp_path / name).symlink_to(LLAMA / name)
    assert "acc" in asked("general_knowledge", limit=1, folder=tmp_path)["general_knowledge"]
    with pytest.raises(TextError, match="bos_token_id"):
        asked("sentences", limit=1, folder=tmp_path)
    for config in ("[]", '{"bos_token_id": "x", "eos_token_id": []}'):
        (tmp_path / "config.json").write_text(config)
        with pytest.raises(TextError, match="bos_token_id"):
            asked("sentences", limit=1, folder=tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config\.json"):
        asked("sentences", limit=1, folder=tmp_path)


def test_candidates_are_asked_the_same(ovpass: CommandLine) -> None:
    options = ("--harness", "general_knowledge, sentences", "--harness-tasks-dir", TASKS, "--limit", 5)
    windows = ("--windows", 2, "--window-tokens", 32)
    ran = ovpass("evaluate", LLAMA, LLAMA, f"{LLAMA}@16,profile=cpu", *windows, *options, "--json")
    report = ran.json
    itself, changed = (candidate["harness"] for candidate in report["candidates"])
    assert itself == report["reference_harness"]
    assert set(changed) == {"general_knowledge", "sentences"}
    assert changed["general_knowledge"]["acc"]["stderr"] is not None
    assert changed["sentences"]["bits_per_byte"]["stderr"] is None
    assert changed["sentences"] != itself["sentences"]
    tables = ovpass("evaluate", LLAMA, LLAMA, *windows, *options).out.partition("Reference: ")[0]
    assert "bits_per_byte" in tables
    assert max(map(len, tables.splitlines())) <= 80


def write_task(folder: Path, **changes: str) -> Path:
    """A task of its own, with lines changed or added."""
    lines = (TASKS / "general_knowledge.yaml").read_text().replace("task: general_knowledge", "task: own")
    for key, value in changes.items():
        kept = [line for line in lines.splitlines() if not line.startswith(f"{key}:")]
        lines = "\n".join([*kept, f"{key}: {value}"])
    (folder / "own.yaml").write_text(lines)
    return folder


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        ("owm", {}, ["'owm'", "own"]),
        ("own", {"dataset_path": "nobody/has-this-data-set"}, ["own", "nothing is downloaded"]),
        ("own", {"test_split": "validation"}, ["own"]),
        ("own", {"doc_to_text": '"{{nothing.at.all}}"'}, ["harness"]),
        ("", {}, ["harness"]),
    ],
)
def test_tasks_that_cannot_be_asked(
    ovpass: CommandLine, tmp_path: Path, task: str, changes: dict[str, str], words: list[str]
) -> None:
    folder = write_task(tmp_path, **changes)
    options = ("--windows", 1, "--window-tokens", 16, "--harness-tasks-dir", folder)
    ran = ovpass("evaluate", LLAMA, LLAMA, *options, "--harness", task)
    assert (ran.code, ran.out) == (2, "")
    last = ran.err.splitlines()[-1]  # lm-eval's progress bars may come first, where tqdm was imported before
    assert last.startswith("Error: ")
    assert all(word in last for word in words)


def test_options_that_go_with_it(ovpass: CommandLine, tmp_path: Path) -> None:
    assert "--harness" in ovpass.refuse("evaluate", LLAMA, LLAMA, "--limit", 3)
    assert "folder" in ovpass.refuse("evaluate", LLAMA, LLAMA, "--harness", "a", "--harness-tasks-dir", tmp_path / "x")
    assert "limit 0" in ovpass.refuse("evaluate", LLAMA, LLAMA, "--harness", "a", "--limit", 0)


def test_without_lm_eval_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", None)
    with pytest.raises(OvpassError, match=r"ovpass\[eval\]"):
        Harness(HarnessOptions(["general_knowledge"], TASKS), LLAMA)
