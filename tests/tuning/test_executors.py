"""Executors, and `evaluate` on a cluster: the numbers of one process to the last bit, whatever is lost on the way."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ovpass.errors import ExecutorError, SettingsError
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.hosts import Host, Likeness, describe
from ovpass.evaluation.options import Evaluation
from ovpass.evaluation.report import report_to_dict
from ovpass.support import cluster
from ovpass.tuning.bisect import Question, find_breaking
from ovpass.tuning.executors import Workers
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.sensitivity import Measure, SensitivityReport, sensitivity
from tests.builders import llama_model, planted_name, save_planted
from tests.cli.command import ENCODER, LLAMA, CommandLine
from tests.dask_cluster import Dask, require_dask
from tests.evaluation.models import folder_of

pytestmark = pytest.mark.slow
SMALL = Evaluation(windows=1, window_tokens=48)
ONE_THREAD = Workers(count=2, threads=1)
BY_KIND = Measure(by="kind")
OPTIONS = ("--windows", 1, "--window-tokens", 48)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> SensitivityReport:
    """One process with as many threads as each worker has."""
    state = tmp_path_factory.mktemp("alone")
    return sensitivity(Experiment(LLAMA, evaluation=SMALL, state=state, workers=ONE_THREAD), BY_KIND)


def experiment(executor: str, state: Path, workers: Workers = ONE_THREAD) -> Experiment:
    return Experiment(LLAMA, evaluation=SMALL, state=state, executor=executor, workers=workers)


class Killing:
    """Progress that kills once, when the first measurement of a site is on its way."""

    def __init__(self, *processes: int) -> None:
        self.processes, self.killed = list(processes), 0

    def __call__(self, step: str) -> None:
        if step.startswith("only") and "(3 of" in step:
            while self.processes:
                os.kill(self.processes.pop(), signal.SIGKILL)
                self.killed += 1


# Processes ------------------------------------------------------------------------------------------------------------


def test_processes_lose_nothing_with_a_worker(alone: SensitivityReport, tmp_path: Path) -> None:
    subject = experiment("processes", tmp_path)
    pool = subject._executor
    kill = Killing()

    def progress(step: str) -> None:
        if "(3 of" in step:
            kill.processes = list(pool._pool._pool._processes)[:1]  # type: ignore[attr-defined]
        kill(step)

    watched = replace(subject, progress=progress)
    vars(watched)["_executor"] = pool
    assert sensitivity(watched, BY_KIND) == alone
    assert kill.killed == 1


def test_guessed_halves_find_the_same(tmp_path: Path) -> None:
    planted = save_planted(tmp_path / "planted", 1)
    found = []
    for executor in ("in-process", "processes"):
        subject = Experiment(
            planted, evaluation=SMALL, state=tmp_path / executor, executor=executor, workers=ONE_THREAD
        )
        found += [find_breaking(subject, Question(find=find, max_kl=0.01)) for find in ("first", "smallest")]
    assert found[:2] == found[2:]
    assert all([entry.unit.name for entry in result.found] == [planted_name(1)] for result in found[::2])


@pytest.mark.parametrize(("count", "threads"), [(0, None), (1, 0)])
def test_workers_that_are_none(count: int, threads: int | None) -> None:
    with pytest.raises(SettingsError):
        Workers(count, threads)


# A cluster ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    require_dask()
    found = Dask(tmp_path_factory.mktemp("dask"))
    try:
        found.start()
        yield found
    finally:
        found.stop()


def on(dask: Dask) -> Workers:
    return Workers(threads=1, cluster=dask.address)


OLDER = {"ovpass/__init__.py": "", "ovpass/version.py": "__version__ = '0.0.1'"}
NONE = {
    "sitecustomize.py": "import sys\n"
    "class Missing:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name == 'ovpass': raise ModuleNotFoundError(name, name=name)\n"
    "sys.meta_path.insert(0, Missing())\n"
}


@pytest.mark.parametrize(("modules", "found"), [(OLDER, r"ovpass is 0\.0\.1 there"), (NONE, "ovpass is not installed")])
def test_workers_without_this_ovpass_are_refused(
    dask: Dask, tmp_path: Path, modules: dict[str, str], found: str
) -> None:
    for name, text in modules.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    subject = experiment("cluster", tmp_path / "state", on(dask))
    with dask.another(tmp_path), pytest.raises(ExecutorError, match=found):
        subject.scores({}, subject.windows)


def test_workers_that_cannot_read_the_model_are_refused(dask: Dask, tmp_path: Path) -> None:
    away = Experiment(tmp_path / "model", evaluation=SMALL, executor="cluster", workers=on(dask))
    shutil.copytree(LLAMA, away.model)
    assert away.ir
    assert away.windows
    shutil.rmtree(away.model)
    with pytest.raises(ExecutorError, match="cannot read"):
        away.scores({}, away.windows)


@pytest.mark.parametrize(("workers", "left"), [({}, False), ({"one": 1}, True)])
def test_results_are_waited_for_as_long_as_there_are_workers(workers: dict[str, int], left: bool) -> None:
    require_dask()
    answers = iter([asyncio.TimeoutError, None])

    class Late:
        def result(self, timeout: float) -> list[str]:
            if (error := next(answers)) is not None:
                raise error
            return ["scores"]

    subject = cluster.DaskCluster("tcp://127.0.0.1:1", 1, 1)
    vars(subject)["_client"] = type("Client", (), {"nthreads": lambda _: workers})()
    if left:
        assert next(subject.results([Late()])) == ["scores"]
    else:
        with pytest.raises(ExecutorError, match="no workers left"):
            next(subject.results([Late()]))


@pytest.mark.parametrize("part", ["model", "ovpass", "openvino", "cpu"])
def test_hosts_that_differ(part: str) -> None:
    host = Host("model", "ovpass", "openvino", "cpu")
    other = replace(host, **{part: "other"})
    with pytest.raises(ExecutorError, match="other"):
        Likeness("model.xml", host).check(other, "worker")
    if part in ("openvino", "cpu"):
        Likeness("model.xml", host, mixed=True).check(other, "worker")
    else:
        with pytest.raises(ExecutorError, match="other"):
            Likeness("model.xml", host, mixed=True).check(other, "worker")


def test_a_cluster_of_our_own_ranks_as_one_process_to_the_last_bit(alone: SensitivityReport, tmp_path: Path) -> None:
    require_dask()
    subject = experiment("cluster", tmp_path, replace(ONE_THREAD, cluster="local"))
    assert sensitivity(subject, BY_KIND) == alone
    assert subject.width == 2


def test_a_cluster_that_does_not_answer(tmp_path: Path, ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 1)
    run = ("sensitivity", LLAMA, *OPTIONS, "--state", tmp_path)
    assert "answer" in ovpass.refuse(*run, "--cluster", "tcp://127.0.0.1:1")
    assert "tcp://" in ovpass.refuse(*run, "--cluster", "somewhere")
    assert "--cluster" in ovpass.refuse(*run, "--mixed-hosts")
    assert "--workers" in ovpass.refuse(*run, "--workers", 2, "--cluster", "tcp://127.0.0.1:1")


def test_a_killed_client_resumes(alone: SensitivityReport, dask: Dask, tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; import ovpass;"
        "from ovpass.tuning.executors import Workers;"
        "progress = lambda step: os.kill(os.getpid(), 9) if '(7 of' in step else None;"
        "ovpass.sensitivity(ovpass.Experiment(Path(sys.argv[1]), evaluation=ovpass.Evaluation(windows=1,"
        "window_tokens=48), state=Path(sys.argv[2]), progress=progress, executor='cluster',"
        "workers=Workers(threads=1, cluster=sys.argv[3])), ovpass.Measure(by='kind'))"
    )
    killed = subprocess.run([sys.executable, "-c", code, LLAMA, tmp_path, dask.address], check=False)
    assert killed.returncode == -signal.SIGKILL
    (kept,) = tmp_path.glob("*.jsonl")
    before = kept.read_text().splitlines()
    assert len(before) > 2
    assert sensitivity(experiment("cluster", tmp_path, on(dask)), BY_KIND) == alone
    assert kept.read_text().splitlines()[: len(before)] == before


# evaluate on that cluster ---------------------------------------------------------------------------------------------

ON_ONE_PROCESSOR = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
sys.argv[0] = "ovpass"
from ovpass.cli.main import main
main()
"""


def scores(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Without times, also those in notes."""
    return [{**judged, "seconds": 0, "notes": []} for judged in report["candidates"]]


def test_an_evaluation_is_that_of_one_process_whatever_is_lost(dask: Dask, tmp_path: Path) -> None:
    """A worker is lost, and the client, which goes on. The second candidate has other weights, and a KV cache."""
    other = folder_of(llama_model(), tmp_path / "other")
    candidates = [f"{LLAMA}@32,threshold=0", f"{other}@kv_key=u8"]
    words = ["evaluate", LLAMA, *candidates, "--windows", 2, "--window-tokens", 48, "--json"]
    code = [sys.executable, "-c", ON_ONE_PROCESSOR, *map(str, words), "--state", str(tmp_path / "alone")]
    alone = subprocess.Popen(code, stdout=subprocess.PIPE)
    how = Evaluation(windows=2, window_tokens=48, cluster=dask.address, state=tmp_path / "state")

    def lose(step: str) -> None:
        if "candidate 1" in step and "window 2" in step:
            dask.processes["first"].kill()
        if "candidate 2" in step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(LLAMA, candidates, how, lose)
    seen: list[str] = []
    report = evaluate(LLAMA, candidates, how, seen.append)
    assert scores(report_to_dict(report)) == scores(json.loads(alone.communicate()[0]))
    assert not [step for step in seen if "candidate 1" in step]
    assert list((tmp_path / "state").iterdir()) == []
    dask.restore()


def test_evaluations_that_a_cluster_cannot_make(
    tmp_path: Path, ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_dask()
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 1)
    nowhere = ("--cluster", "tcp://127.0.0.1:1")
    run = ("evaluate", LLAMA, f"{LLAMA}@32,threshold=0", *OPTIONS, "--state", tmp_path)
    assert "answer" in ovpass.refuse(*run, *nowhere)
    assert "tcp://" in ovpass.refuse(*run, "--cluster", "somewhere")
    assert "--cluster" in ovpass.refuse(*run, "--mixed-hosts")
    assert "--workers" in ovpass.refuse(*run, *nowhere, "--workers", 2)
    assert "--blockwise" in ovpass.refuse(*run, *nowhere, "--blockwise")
    assert "--cluster" in ovpass.refuse("evaluate", ENCODER, f"{ENCODER}@per-token", *OPTIONS, *nowhere)


def test_hosts_with_another_plan(tmp_path: Path) -> None:
    xml, plan = LLAMA / "openvino_model.xml", tmp_path / "plan.yaml"
    plan.write_text("one")
    alike = Likeness(str(xml), describe(str(xml), str(plan)), str(plan))
    alike.require_here()
    plan.write_text("another")
    with pytest.raises(ExecutorError, match="plan"):
        alike.require_here()


def test_a_cluster_loses_nothing_with_a_worker_or_the_scheduler(
    alone: SensitivityReport, dask: Dask, tmp_path: Path
) -> None:
    kill = Killing(dask.processes["first"].pid)
    subject = replace(experiment("cluster", tmp_path / "worker", on(dask)), progress=kill)
    assert sensitivity(subject, BY_KIND) == alone
    assert kill.killed == 1

    kill = Killing(dask.processes["scheduler"].pid)
    subject = replace(experiment("cluster", tmp_path / "scheduler", on(dask)), progress=kill)
    with pytest.raises(ExecutorError, match="scheduler"):
        sensitivity(subject, BY_KIND)
    (kept,) = (tmp_path / "scheduler").glob("*.jsonl")
    before = kept.read_text().splitlines()
    assert before
    resumed = experiment("in-process", tmp_path / "scheduler")
    assert sensitivity(resumed, BY_KIND) == alone
    assert kept.read_text().splitlines()[: len(before)] == before
