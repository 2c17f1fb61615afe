"""Tasks of lm-evaluation-harness that generate: the shipped ones, gsm8k from a local copy, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import lm_eval.tasks
import numpy as np
import pytest

from ovpass.errors import SettingsError
from ovpass.evaluation.candidates import parse_candidate
from ovpass.evaluation.harness import Harness
from ovpass.evaluation.harness_orders import batches, make_order
from ovpass.evaluation.options import HarnessOptions
from ovpass.evaluation.tasks import tasks
from tests.cli.command import LLAMA, CommandLine

SHIPPED = ("ovpass_arithmetic", "ovpass_conversation")
README = """---
configs:
- config_name: main
  data_files:
  - {split: train, path: main/train.jsonl}
  - {split: test, path: main/test.jsonl}
---
"""


def gsm8k_layout(folder: Path) -> None:
    """A data set as the hub keeps openai/gsm8k, below the folder."""
    data = folder / "openai" / "gsm8k"
    (data / "main").mkdir(parents=True)
    (data / "README.md").write_text(README)
    for split, count in (("train", 5), ("test", 3)):
        lines = [
            json.dumps({"question": f"What is {n} + {n}?", "answer": f"{n} + {n} = {2 * n}\n#### {2 * n}"})
            for n in range(count)
        ]
        (data / "main" / f"{split}.jsonl").write_text("\n".join(lines))


@pytest.mark.slow
def test_the_shipped_tasks_with_quantized_activations(ovpass: CommandLine) -> None:
    options = ("--harness", ",".join(SHIPPED), "--limit", 2, "--batch", 2, "--windows", 1, "--window-tokens", 80)
    report = ovpass("evaluate", LLAMA, f"{LLAMA}@per-token", *options, "--json").json
    (changed,) = report["candidates"]
    for scores in (report["reference_harness"], changed["harness"]):
        assert set(scores) == set(SHIPPED)
        assert set(scores[SHIPPED[0]]) == {"exact_match (strict-match)", "exact_match (flexible-extract)"}
        assert set(scores[SHIPPED[1]]) == {"em", "f1"}


@pytest.mark.slow
def test_gsm8k_from_a_local_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of lm-eval's task in a folder of its own: the index of all its tasks takes seconds to read."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    shutil.copy(Path(lm_eval.tasks.__file__).parent / "gsm8k" / "gsm8k.yaml", tmp_path / "tasks")
    options = HarnessOptions(["gsm8k"], tmp_path / "tasks", limit=1)
    with pytest.raises(SettingsError, match=r"openai/gsm8k.*nothing is downloaded.*current folder"):
        Harness(options, LLAMA)
    gsm8k_layout(tmp_path)
    scores = Harness(options, LLAMA).run(parse_candidate(str(LLAMA)), []).reference["gsm8k"]
    assert set(scores) == {"exact_match (strict-match)", "exact_match (flexible-extract)"}


def test_libraries_that_were_imported_before_stay_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook: they have read the variables by then."""
    tried = Mock(return_value=[])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", tried)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    shutil.copy(Path(lm_eval.tasks.__file__).parent / "gsm8k" / "gsm8k.yaml", tmp_path / "tasks")
    with pytest.raises(SettingsError, match="nothing is downloaded"):
        Harness(HarnessOptions(["gsm8k"], tmp_path / "tasks"), LLAMA)
    tried.assert_not_called()


def test_an_item_of_a_conversation_has_the_turns_before() -> None:
    first, second = tasks.conversation()["test"].select(range(2))
    assert first["story"] == second["story"]
    question, reply = second["questions"]["input_text"][0], second["answers"]["input_text"][0]
    text = tasks.conversation_text(second)
    assert text.startswith(first["story"])
    assert f"Q: {question}\n\nA: {reply}\n\nQ: " in text
    assert text.endswith("A:")
    assert tasks.conversation_text(first).count("Q: ") == 1


@pytest.mark.parametrize(
    ("given", "exact", "f1"), [(" The Red  boat.\nQ: x", 1, 1), ("a boat", 0, 2 / 3), ("green", 0, 0), ("", 0, 0)]
)
def test_scores_of_words_by_hand(given: str, exact: float, f1: float) -> None:
    item = {"answers": {"input_text": ["x", "red boat"]}}
    assert tasks.conversation_scores(item, [given]) == {"em": exact, "f1": pytest.approx(f1)}


def test_data_of_arithmetic_is_right() -> None:
    """Every step of a chain, and the number at its end."""
    for item in [*tasks.arithmetic()["train"], *tasks.arithmetic()["test"]]:
        steps, _, number = item["answer"].partition("\n#### ")
        results = []
        for step in steps.replace(". ", ".\n").splitlines():
            left, _, right = step.partition(" = ")
            a, sign, b = left.split()[-3:]
            results.append(int(right.split()[0]))
            assert results[-1] == {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[sign]
        assert results[-1] == int(number)


def order(number: int, tokens: int, **settings: Any) -> Any:
    return make_order(number, range(tokens), {"until": ["\n"], **settings}, 100)


def test_requests_become_options_of_genai() -> None:
    greedy = order(0, 10, do_sample=False, temperature=0.0, max_gen_toks=5)
    assert greedy.options == {"max_new_tokens": 5, "stop_strings": {"\n"}, "do_sample": False}
    sampled = order(3, 10, do_sample=True, temperature=0.5, top_p=0.9, max_gen_toks=5)
    assert sampled.options == {**greedy.options, "do_sample": True, "temperature": 0.5, "top_p": 0.9, "rng_seed": 3}
    np.testing.assert_array_equal(order(0, 200, max_gen_toks=40).prompt, np.arange(140, 200))


@pytest.mark.parametrize(
    ("settings", "words"), [({"num_beams": 2, "max_gen_toks": 5}, "num_beams"), ({"max_gen_toks": 100}, "context")]
)
def test_requests_that_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        order(0, 10, **settings)


def test_batches_hold_requests_of_one_kind() -> None:
    orders = [order(n, 10 + n, max_gen_toks=5 if n % 2 else 6) for n in range(5)]
    found = [(done, [one.number for one in batch]) for done, batch in batches(orders, 2)]
    assert found == [(0, [4, 2]), (2, [0]), (3, [3, 1])]
