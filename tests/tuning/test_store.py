"""Measurements: kept line by line, found again by the same experiment alone, and safe from what is not theirs."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from ovpass.errors import OutputError
from ovpass.evaluation.options import Evaluation
from ovpass.settings.settings import Settings
from ovpass.support.store import Store
from ovpass.tuning.activation_statistics import ActivationFacts
from ovpass.tuning.budget import Spent
from ovpass.tuning.experiment import Experiment, choice_of
from ovpass.tuning.switched_model import Cost
from tests.cli.command import LLAMA, CommandLine
from tests.evaluation.models import llama_folder

RUN = ("sensitivity", LLAMA, "--windows", 1, "--window-tokens", 64, "--json")
KEPT = 3
ENDED = f"""
import os, signal, sys
from ovpass.cli.main import main
from ovpass.support.store import Store
put, ending, kept = Store.put, int(sys.argv.pop(1)), []

def put_and_end(self, key, value):
    put(self, key, value)
    kept.append(key)
    if len(kept) == {KEPT}:
        os.kill(os.getpid(), ending)

Store.put = put_and_end
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background it would be ignored
main()
"""


def lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_what_is_put_is_there_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "a.jsonl")
    facts = {"site": ActivationFacts(3.5, 0.1, {-1: 0.0, 32: 1 / 7})}
    store.put("x", Spent(0.1, 1))
    store.put("y", facts)
    store.put("x", Spent(1 / 3, math.inf))
    for each in (store, Store(tmp_path / "new" / "a.jsonl")):
        assert each.get("x", Spent) == Spent(1 / 3, math.inf)
        assert each.get("y", dict[str, ActivationFacts]) == facts
        assert each.get("z", Spent) is None


def test_a_cost_that_is_no_number_is_kept(tmp_path: Path) -> None:
    Store(tmp_path / "a.jsonl").put("x", Cost(math.nan, math.nan, 0.0, 0.0))
    found = Store(tmp_path / "a.jsonl").get("x", Cost)
    assert found is not None
    assert math.isnan(found.mean)


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_cut_off_anywhere_is_dropped(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    store = Store(path)
    first, second, third = (Spent(float(number), 0.0) for number in (1, 2, 3))
    store.put("first", first)
    store.put("second", second)
    path.write_bytes(path.read_bytes()[:-cut])
    store = Store(path)
    assert (store.get("first", Spent), store.get("second", Spent)) == (first, None)
    store.put("third", third)
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    assert kept == [["first", asdict(first)], ["third", asdict(third)]]


@pytest.mark.parametrize(
    "content",
    [
        b"a diary\n",
        b"a diary without an end",
        b'"ab"\n',
        b"[[1, 2]]\n",
        b"[1, 2]\n",
        b"{}\n",
        b"\xff\xfe\n",
        b"\0\0",
        b"[" * 5_000 + b"\n",
    ],
)
def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with pytest.raises(OutputError, match=r"a\.jsonl"):
        Store(path)
    assert path.read_bytes() == content


COST = {"mean": 0.1, "trimmed": 0.1, "median": 0.1, "top1_lost": 1}
NO_NUMBERS: list[Any] = ["0.1", None, True, []]
FACTS = {"max_over_median": 1.5, "top_energy": 0.5, "errors": {"32": 0.1}}
DAMAGED_COSTS: list[Any] = [None, 3, "0.1", [], {}, {**COST, "more": 1}]
DAMAGED_COSTS += [{**COST, "mean": value} for value in NO_NUMBERS]
DAMAGED_COSTS += [{key: value for key, value in COST.items() if key != "median"}]
DAMAGED_FACTS: list[Any] = [None, [], 3, {"site": 3}, {"site": {}}, {"site": {**FACTS, "errors": 3}}]
DAMAGED_FACTS += [{"site": {**FACTS, "errors": {key: 0.1}}} for key in ("", "a", "1.5")]
DAMAGED_FACTS += [{"site": {**FACTS, "errors": {"32": "0.1"}}}, {"site": {**FACTS, "top_energy": []}}]


@pytest.mark.parametrize(
    ("shape", "value"),
    [(Cost, value) for value in DAMAGED_COSTS] + [(dict[str, ActivationFacts], value) for value in DAMAGED_FACTS],
)
def test_damaged_measurements_are_refused(tmp_path: Path, shape: type[Any], value: Any) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(["key", value]) + "\n")
    with pytest.raises(OutputError, match=r"a\.jsonl: .*remove it.*key"):
        Store(path).get("key", shape)


@pytest.mark.slow
def test_a_command_refuses_damaged_measurements(ovpass: CommandLine, tmp_path: Path) -> None:
    """Whatever a value is replaced by."""
    ovpass.succeed(*RUN, "--state", tmp_path)
    path = only_file(tmp_path)
    keys = [json.loads(line)[0] for line in path.read_text().splitlines()]
    values: list[Any] = [{}, {"site": {}}, 3]
    for value in values:
        path.write_text("".join(json.dumps([key, value]) + "\n" for key in keys))
        assert str(path) in ovpass.refuse(*RUN, "--state", tmp_path)


def test_no_place_for_measurements(ovpass: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "file" in ovpass.refuse("sensitivity", LLAMA, "--state", tmp_path / "file")


# Experiments ----------------------------------------------------------------------------------------------------------


def file_of(experiment: Experiment) -> str:
    """The name of the experiment's file."""
    assert experiment.state is not None
    before = set(experiment.state.iterdir())
    experiment.store("test", choice_of(experiment.plan, experiment.sites)).put("x", Spent(0.0, 0.0))
    return (set(experiment.state.iterdir()) - before or {Path("known")}).pop().name


@pytest.mark.slow
def test_another_experiment_has_another_file(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    small = Evaluation(windows=1, window_tokens=64)
    first = Experiment(LLAMA, Settings(), small, state)
    others = [
        first,
        replace(first, settings=Settings(group_size=32)),
        replace(first, settings=Settings(symmetric=False)),
        replace(first, settings=Settings(target="cpu", group_size=32)),
        replace(first, evaluation=replace(small, windows=2)),
        replace(first, evaluation=replace(small, window_tokens=65)),
        replace(first, model=llama_folder(tmp_path / "other")),
        replace(first, model=llama_folder(tmp_path / "other weights", seed=1)),
    ]
    assert "known" not in [file_of(experiment) for experiment in others]
    assert [file_of(replace(experiment)) for experiment in others] == ["known"] * len(others)


# Interruptions --------------------------------------------------------------------------------------------------------


def interrupted(state: Path, how: signal.Signals) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, ended in the middle of its measurements."""
    command = [sys.executable, "-c", ENDED, str(int(how)), *map(str, RUN), "--state", str(state)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, int]:
    """What the command prints, and how many measurements it keeps."""
    state = tmp_path_factory.mktemp("uninterrupted")
    command = [sys.executable, "-m", "ovpass", *map(str, RUN), "--state", str(state)]
    printed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return _without_date(printed), lines(state)


def _without_date(printed: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in printed.items() if key != "run"}


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(ovpass: CommandLine, tmp_path: Path, uninterrupted: tuple[Any, int]) -> None:
    expected, measurements = uninterrupted
    assert interrupted(tmp_path, signal.SIGKILL).returncode == -signal.SIGKILL
    assert lines(tmp_path) == KEPT < measurements
    before = only_file(tmp_path).read_bytes()
    assert _without_date(ovpass.succeed(*RUN, "--state", tmp_path).json) == expected
    kept = before[: before.rfind(b"\n") + 1]
    assert only_file(tmp_path).read_bytes().startswith(kept)
    assert lines(tmp_path) == measurements


@pytest.mark.slow
def test_interrupted_from_the_keyboard(tmp_path: Path, uninterrupted: tuple[Any, int]) -> None:
    process = interrupted(tmp_path, signal.SIGINT)
    assert process.returncode == 130
    assert (process.stdout, len(process.stderr.strip().splitlines())) == ("", 1)
    assert "kept" in process.stderr
    assert lines(tmp_path) == KEPT < uninterrupted[1]
