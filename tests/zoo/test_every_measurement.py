"""Commands that run models, on every model: on folders of one model, and on each model of the others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ovpass.evaluation.windows import Window
from ovpass.ir.files import IrFile
from ovpass.tuning import experiment
from ovpass.tuning.switched_model import SwitchedModel
from ovpass.verification.inputs import input_specs, make_inputs
from tests.cli.command import CommandLine, contents
from tests.zoo.expected import FAMILIES, FIXED, REFUSED, refused
from tests.zoo.exports import TOKENS, ZOO, Export, core, exports

pytestmark = pytest.mark.slow

EACH = pytest.mark.parametrize("export", exports(), ids=lambda export: export.key)
SEARCHES = ("sensitivity", "bisect", "tune")
SHORT = ("--windows", 1, "--window-tokens", 16)
BUDGET = ("--max-kl", 1)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measurements that searches in one model share."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches in one model share what takes longest."""
    monkeypatch.setattr(experiment, "SwitchedModel", _switched)


@lru_cache(maxsize=1)
def _compiled(ir: IrFile, symmetric: bool, half: bool) -> dict[str, SwitchedModel]:
    return {}


def _switched(
    ir: IrFile, windows: Sequence[Window], *, symmetric: bool, half: bool, threads: int | None
) -> SwitchedModel:
    assert threads is None
    made = _compiled(ir, symmetric, half)
    if "it" not in made:
        made["it"] = SwitchedModel(ir, windows, symmetric=symmetric, half=half)
    return made["it"]


def checked(command: str, report: Any, export: Export) -> None:
    """The report of a search is about all sites of the model."""
    every = set(export.matmuls)
    if command == "sensitivity":
        measured = {site for entry in report["ranking"] for site in entry["sites"]}
        assert measured | report["skipped"].keys() == every
        assert all(math.isfinite(entry["costs"]["mean"]) for entry in report["ranking"])
    elif command == "bisect":
        assert not report["broken"]
        assert report["together"]["mean"] <= BUDGET[1]
    else:
        assert {decision["name"] for decision in report["plan"]["decisions"]} == every
        assert report["held_out"]["kl"] <= BUDGET[1]
        assert not report["left_out"]


@pytest.mark.parametrize("command", SEARCHES)  # the first decorator varies fastest: one model after the other
@EACH
def test_searches(
    ovpass: CommandLine, export: Export, command: str, tokenizer: Path, state: Path, tmp_path: Path
) -> None:
    own = {"sensitivity": ("--by", "kind"), "bisect": ("--by", "kind", *BUDGET), "tune": BUDGET}[command]
    options = (export.path, *SHORT, *own, "--tokenizer", tokenizer, "--state", state, "-o", tmp_path / "out", "--json")
    if refused(ovpass, export.key, command, *options):
        assert not contents(tmp_path)
        return
    checked(command, ovpass.succeed(command, *options).json, export)
    assert (tmp_path / "out").is_file()


@EACH
def test_evaluate(ovpass: CommandLine, export: Export, tokenizer: Path, tmp_path: Path) -> None:
    """On text, or on inputs that are given."""
    models = (export.path, f"{export.path}@group_size=32,profile=cpu")
    if refused(ovpass, export.key, "evaluate", *models, *SHORT, "--tokenizer", tokenizer, "--json"):
        inputs: dict[str, Any] = dict(make_inputs(input_specs(core().read_model(export.path)), TOKENS))
        np.savez(tmp_path / "inputs.npz", **inputs)
        given: tuple[object, ...] = ("--inputs", tmp_path / "inputs.npz")
    else:
        given = (*SHORT, "--tokenizer", tokenizer)
    report = ovpass.succeed("evaluate", *models, *given, "--json").json
    (judged,) = report["candidates"]
    if "outputs" in judged:
        assert all(0.9 < output["cosine"]["value"] <= 1 for output in judged["outputs"])
    else:
        assert 0 < judged["kl"]["mean"] < 1  # random weights: rounding changes little, but something


@EACH
def test_bench(ovpass: CommandLine, export: Export) -> None:
    quick = ("--repeats", 1, "--warm-up", 0, "--json")
    if refused(ovpass, export.key, "bench", export.path, "--prompt-tokens", TOKENS, *quick):
        report = ovpass.succeed("bench", export.path, *quick).json
    else:
        report = ovpass.succeed("bench", export.path, "--prompt-tokens", TOKENS, *quick).json
    (measured,) = report["measurements"]
    assert measured["prompt_tokens"] == (None if export.key in FIXED else TOKENS)
    assert measured["latency_ms"]["median"] > 0


@pytest.mark.parametrize("name", FAMILIES)
def test_one_of_several_models_must_be_named(ovpass: CommandLine, name: str, tokenizer: Path, tmp_path: Path) -> None:
    text = ("--tokenizer", tokenizer)
    assert refused(ovpass, name, "evaluate", ZOO / name, ZOO / name, *text)
    for command in SEARCHES:
        budget = () if command == "sensitivity" else BUDGET
        assert refused(ovpass, name, command, ZOO / name, *budget, *text, "-o", tmp_path / "out")
    assert not contents(tmp_path)


@pytest.mark.parametrize("name", [name for name in REFUSED["bench"] if "/" not in name])
def test_what_genai_would_not_run_is_not_measured(ovpass: CommandLine, name: str) -> None:
    assert refused(ovpass, name, "bench", ZOO / name)


@pytest.mark.parametrize("key", [key for key in REFUSED["bisect"] if "/" in key])
def test_bisect_with_a_command_takes_any_model(ovpass: CommandLine, key: str) -> None:
    report = ovpass.succeed("bisect", ZOO / key, "--by", "kind", "--check", "test -s {model}", "--json").json
    assert not report["broken"]
    assert report["questions"] == 2
