"""The fastest plan within a budget: found, kept to on text that it was not chosen by, and carried out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import openvino as ov
import pytest

from ovpass import api
from ovpass.errors import SettingsError
from ovpass.evaluation.corpus import read_text
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.language_model import TextReport
from ovpass.evaluation.options import Evaluation
from ovpass.planning.plan import EXEMPT, QUANTIZE, Plan
from ovpass.settings.settings import Rule, Settings
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.tuning import deadline
from ovpass.tuning.budget import Budget, share_of_work, worth
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.tune import tune
from ovpass.tuning.tuned import Tuned
from ovpass.verification import Observation
from ovpass.verification.report import compare
from tests.builders import llama_model, planted_name, save_planted, trio_model
from tests.cli.command import ENCODER, LLAMA, CommandLine
from tests.simulated_gpu import Job

Simulated = Callable[[str], Callable[[Sequence[Job]], list[Observation]]]
WINDOWS = Evaluation(windows=2, window_tokens=96)
CULPRIT = planted_name(1)
BUDGET = Budget(max_kl=1e-3)
PINNED = Settings(rules=(Rule(match=CULPRIT, group_size=PER_TOKEN),))
SHORT_WORDS = 105
"""About 480 tokens: 5 windows."""
SMALL = ("--windows", 2, "--window-tokens", 96)


def llama_in(fmt: str, folder: Path) -> Path:
    """A folder with a tokenizer and a model whose weights are all in that format."""
    shutil.copytree(LLAMA, folder)
    model = llama_model(fmt=fmt, lm_head_fmt=fmt)
    ov.save_model(model, folder / "openvino_model.xml", compress_to_fp16=False)
    return folder


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with one layer that per-token quantization breaks."""
    return save_planted(tmp_path_factory.mktemp("planted") / "llama", 1)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measurements that tests share: what one has measured, others find there."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def tuned(planted: Path, state: Path) -> Tuned:
    """Tuned to a budget that the culprit alone exceeds, and a rule of the user keeps it from small groups."""
    return tune(Experiment(planted, PINNED, WINDOWS, state), BUDGET)


@pytest.mark.slow
def test_leaves_out_the_culprit_and_keeps_to_the_budget(tuned: Tuned) -> None:
    everything = next(p for p in tuned.points if p.group_size == PER_TOKEN and p.left_out == 0)
    assert not BUDGET.allows(everything.spent)
    assert tuned.left_out == (CULPRIT,)
    assert tuned.point.group_size == PER_TOKEN
    assert BUDGET.allows(tuned.point.spent)
    assert BUDGET.allows(tuned.held_out)
    assert [d.name for d in tuned.plan.chosen(EXEMPT)] == [CULPRIT]


@pytest.mark.slow
def test_the_culprit_gets_small_groups_where_the_target_can(planted: Path, state: Path) -> None:
    found = tune(Experiment(planted, evaluation=WINDOWS, state=state), BUDGET)
    sizes = {decision.name: decision.group_size or 0 for decision in found.plan.chosen(QUANTIZE)}
    assert found.left_out == ()
    assert sizes[CULPRIT] == 32 == min(sizes.values())
    assert PER_TOKEN in sizes.values()
    assert BUDGET.allows(found.held_out)


@pytest.mark.slow
def test_its_plan_is_within_the_budget_on_other_text(planted: Path, tuned: Tuned, tmp_path: Path) -> None:
    tuned.plan.save(tmp_path / "plan.yaml")
    assert Plan.load(tmp_path / "plan.yaml") == tuned.plan
    held_out = replace(WINDOWS, skip=2)
    report = evaluate(planted, [f"{planted}@plan={tmp_path / 'plan.yaml'}", f"{planted}@per-token"], held_out)
    assert isinstance(report, TextReport)
    kept, broken = (candidate.total.kl.mean.value for candidate in report.candidates)
    assert kept == pytest.approx(tuned.held_out.kl, rel=1e-6)
    assert kept <= (BUDGET.max_kl or 0) < broken


@pytest.mark.slow
def test_the_gpu_plugin_follows_the_plan(
    planted: Path,
    tuned: Tuned,
    tmp_path: Path,
    simulated_gpu: Callable[[Sequence[Job], float | None], list[Observation]],
) -> None:
    import ovpass  # noqa: PLC0415 - the fixture of that name

    ovpass.transform(planted, tmp_path / "out", plans={"": tuned.plan})
    (seen,) = simulated_gpu([Job(tmp_path / "out" / "openvino_model.xml")], None)
    planned = {d.name: d.group_size if d.action == QUANTIZE else None for d in tuned.plan.decisions}
    found = {name: PER_TOKEN if seen.groups[name] is not None else None for name in planned}
    assert found == planned
    assert found[CULPRIT] is None


@pytest.mark.slow
def test_an_arc_b580_does_what_a_plan_for_it_says(simulated: Simulated, tmp_path: Path) -> None:
    """8-bit weights and K=192: by default it quantizes mlp.down alone."""
    shutil.copytree(LLAMA, tmp_path / "llama")
    fmt = "w_i8_sym_ch"
    model = llama_model(blocks=1, hidden=192, ffn=384, fmt=fmt, lm_head_fmt=fmt)
    ov.save_model(model, tmp_path / "llama/openvino_model.xml", compress_to_fp16=False)
    settings, windows = Settings(target="arc-b580"), Evaluation(windows=1, window_tokens=65)
    experiment = Experiment(tmp_path / "llama", settings=settings, evaluation=windows, state=tmp_path / "state")
    assert len(experiment.choice(experiment.plan)) == 1
    plan = tune(experiment, Budget(max_kl=100.0)).plan
    assert len(plan.chosen(QUANTIZE)) > 1
    applied = api.apply(model, plan)
    (seen,) = simulated("arc-b580")([Job(applied, {"DYNAMIC_QUANTIZATION_GROUP_SIZE": plan.model_group_size})])
    assert [check for check in compare(plan, seen.groups) if not check.agrees] == []


@pytest.mark.slow
def test_evidence_is_in_the_plan(tuned: Tuned) -> None:
    evidence = tuned.plan.evidence
    assert evidence["budget"] == {"max_kl": BUDGET.max_kl}
    assert evidence["held_out"]["kl"] == tuned.held_out.kl
    assert evidence["share_of_work"] == tuned.point.share < 1
    assert evidence["tokens"] == {"search": 190, "held_out": 190}


@pytest.mark.slow
def test_the_frontier_buys_more_for_more(planted: Path, state: Path) -> None:
    found = tune(Experiment(planted, PINNED, WINDOWS, state), BUDGET, frontier=True)
    costs = [point.spent.kl for point in found.frontier]
    assert len(costs) > 2
    assert costs == sorted(costs)
    assert [p.worth for p in found.frontier] == sorted(p.worth for p in found.frontier)
    assert {p.group_size for p in found.points} >= {PER_TOKEN, 32}


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "left_out"), [(1e3, 0), (1e-12, 15)])
def test_budgets_without_limit_and_without_room(state: Path, limit: float, left_out: int) -> None:
    found = tune(Experiment(LLAMA, evaluation=WINDOWS, state=state), Budget(max_kl=limit))
    assert (found.point.left_out, len(found.left_out)) == (left_out, left_out)
    assert found.held_out.kl <= limit


@pytest.fixture(scope="module")
def short_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text for the windows of the search and as many others, and no more."""
    path = tmp_path_factory.mktemp("text") / "short.txt"
    path.write_text(" ".join(read_text().split()[:SHORT_WORDS]), encoding="utf-8")
    return path


@pytest.mark.slow
def test_what_other_text_costs_is_told(ovpass: CommandLine, state: Path, short_text: Path) -> None:
    """A budget between what everything costs on the windows of the search and on others: the latter decide."""
    experiment = Experiment(LLAMA, evaluation=replace(WINDOWS, text=short_text), state=state)
    everything = tune(experiment, Budget(max_kl=1e3))
    assert everything.point.spent.kl_interval
    assert everything.held_out.kl_interval
    ends = everything.point.spent.kl_interval[1], everything.held_out.kl_interval[1]
    assert ends[0] < ends[1]
    between = sum(ends) / 2
    found = tune(experiment, Budget(max_kl=between))
    assert (everything.for_held_out, found.for_held_out) == (0, len(found.left_out))
    assert found.left_out
    arguments = ("tune", LLAMA, "--max-kl", between, *SMALL, "--text", short_text, "--state", state)
    assert f"{len(found.left_out)} site is exempt only" in ovpass.succeed(*arguments).out


@pytest.mark.slow
def test_what_is_near_the_budget_is_measured_on_more_text(state: Path) -> None:
    experiment = Experiment(LLAMA, evaluation=WINDOWS, state=state)
    everything = tune(experiment, Budget(max_kl=1e3))
    near = tune(experiment, Budget(max_kl=1.1 * everything.point.spent.kl))
    found = next(point for point in near.points if (point.group_size, point.left_out) == (PER_TOKEN, 0))
    assert found.spent.tokens > everything.point.spent.tokens == 190


@pytest.mark.slow
def test_the_time_is_kept(planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step takes a minute of this clock."""
    steps: list[str] = []
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: 60.0 * len(steps)))
    experiment = Experiment(planted, evaluation=WINDOWS, state=tmp_path, progress=steps.append)
    with pytest.raises(SettingsError, match="minutes 1"):
        tune(experiment, BUDGET, minutes=1)
    assert len(steps) == 1
    found = tune(experiment, BUDGET, minutes=16)
    assert not found.finished
    assert len(steps) <= 1 + 16
    assert found.holds == BUDGET.allows(found.held_out)
    assert BUDGET.allows(found.point.spent)


@pytest.mark.slow
def test_an_interrupted_search_goes_on_to_the_same_plan(planted: Path, tuned: Tuned, tmp_path: Path) -> None:
    asked: list[str] = []

    def interrupting(step: str) -> None:
        asked.append(step)
        if len(asked) > 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(Experiment(planted, PINNED, WINDOWS, tmp_path, progress=interrupting), BUDGET)
    again: list[str] = []
    found = tune(Experiment(planted, PINNED, WINDOWS, tmp_path, progress=again.append), BUDGET)
    assert found == tuned
    assert not set(asked[1:-1]) & {step for step in again if ":" in step or "only" in step}
    finished = Experiment(planted, PINNED, WINDOWS, tmp_path)
    assert tune(finished, BUDGET) == tuned
    assert "_switched" not in vars(finished)  # it had nothing to measure, so nothing to compile


@pytest.mark.slow
def test_the_cpus_groups_are_its_own(planted: Path, state: Path) -> None:
    experiment = Experiment(planted, Settings(target="cpu"), WINDOWS, state)
    found = tune(experiment, Budget(max_perplexity_percent=50))
    assert (found.point.group_size, found.point.share) == (32, 1)
    assert PER_TOKEN not in {point.group_size for point in found.points}


@pytest.mark.slow
def test_int8_is_tuned_by_the_time_that_it_saves(planted: Path, tmp_path: Path, ovpass: CommandLine) -> None:
    faster = ("--lowering", "int8", "--target", "cpu", "--requantize", "--only-if-faster", "--at-tokens", 2048)
    ran = ovpass.succeed("tune", planted, "--max-kl", 1e-3, *faster, *SMALL, "--state", tmp_path, "--json").json
    quantized = [d for d in ran["plan"]["decisions"] if d["action"] == "quantize"]
    assert quantized
    assert CULPRIT not in {d["name"] for d in quantized}
    assert all(d["expected_ratio"] < 1 for d in quantized)
    assert ran["held_out"]["kl"] <= 1e-3
    assert {point["group_size"] for point in ran["measured"]} == {"per-token"}


@pytest.mark.slow
def test_other_held_out_text_is_measured_anew(planted: Path, tmp_path: Path) -> None:
    words = read_text().split()
    found = []
    for number, rest in enumerate((words[80:800], words[4000:4720])):
        text = tmp_path / f"{number}.txt"
        text.write_text(" ".join(words[:80] + rest), encoding="utf-8")
        found.append(tune(Experiment(planted, evaluation=replace(WINDOWS, text=text), state=tmp_path), BUDGET))
    assert found[0].point.spent == found[1].point.spent
    assert found[0].held_out != found[1].held_out


@pytest.mark.slow
def test_a_group_size_that_weights_cap_is_called_what_it_is(tmp_path: Path) -> None:
    found = tune(
        Experiment(llama_in("w_u4_asym_g32", tmp_path / "llama"), evaluation=WINDOWS, state=tmp_path / "state"),
        Budget(max_kl=1e3),
        frontier=True,
    )
    assert {point.group_size for point in found.points} == {PER_TOKEN, 32}


@pytest.mark.slow
def test_rules_of_the_user_stay_in_force(planted: Path, state: Path, ovpass: CommandLine) -> None:
    ran = ovpass.succeed("tune", planted, "--max-kl", 9, "--exempt", "kind:attn", *SMALL, "--state", state, "--json")
    exempt = [d["kind"] for d in ran.json["plan"]["decisions"] if d["action"] == "exempt"]
    assert sorted(set(exempt)) == ["attn.k", "attn.out", "attn.q", "attn.v"]


@pytest.mark.slow
def test_the_command_writes_a_plan_that_apply_takes(
    planted: Path, state: Path, tmp_path: Path, ovpass: CommandLine
) -> None:
    plan, plot = tmp_path / "plan.yaml", tmp_path / "frontier.png"
    budget = ("--max-kl", BUDGET.max_kl)
    ran = ovpass.succeed("tune", planted, *budget, *SMALL, "--state", state, "-o", plan, "--plot", plot)
    assert max(map(len, ran.out.splitlines()[:-1])) <= 80
    assert plot.read_bytes().startswith(b"\x89PNG")
    ovpass.succeed("apply", planted, "-o", tmp_path / "out", "--plan", plan, "--quiet")
    shown = ovpass.succeed("explain", tmp_path / "out", "--device", "gpu-xmx").out
    assert "zero points per 32 weights cap the group" in shown


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--max-kl", 0),
        ("--max-kl", "nan"),
        ("--preset", "brave"),
        ("--preset", "safe", "--max-kl", 1),
        ("--max-kl", "inf"),
        ("--max-ppl-increase", "inf"),
        ("--max-kl", 1, "--group-size", 32),
        ("--max-kl", 1, "--lowering", "int8"),
        ("--max-kl", 1, "--profile", "tpu"),
        ("--max-kl", 1, "--exempt", "kind:attn+layer:9"),
        ("--max-kl", 1, "--windows", 10**6),
        ("--max-kl", 1, "--plot", "frontier.txt"),
        ("--max-kl", 1, "--minutes", 0),
        ("--max-kl", 1, "--minutes", "nan"),
    ],
)
def test_refuses(options: tuple[object, ...], tmp_path: Path, ovpass: CommandLine) -> None:
    ovpass.refuse("tune", LLAMA, *options, "--state", tmp_path, "-o", tmp_path / "plan.yaml")
    assert not (tmp_path / "plan.yaml").exists()


def test_refuses_models_that_predict_nothing(tmp_path: Path, ovpass: CommandLine) -> None:
    assert "language model" in ovpass.refuse("tune", ENCODER, "--max-kl", 1, "--state", tmp_path)


def sites_of(fmt: str) -> list[CompressedMatMul]:
    return find_compressed_matmuls(trio_model(fmt))


def test_worth_counts_work_and_prefers_longer_groups() -> None:
    sites = sites_of("w_i4_sym_g32")
    names = [site.name for site in sites]
    whole, small = dict.fromkeys(names, 512), dict.fromkeys(names, 32)
    assert share_of_work(sites, whole) == share_of_work(sites, small) == 1
    assert worth(sites, small, {}) < worth(sites, whole, {}) < 1
    assert worth(sites, whole, dict.fromkeys(names, 0.75)) == pytest.approx(0.25)
    assert share_of_work(sites, {names[0]: 512}) == pytest.approx(sites[0].macs / sum(site.macs for site in sites))
    assert worth(sites, {}, {}) == 0


def test_refuses_a_model_that_the_target_never_quantizes(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nf4"):
        tune(Experiment(llama_in("w_nf4_ch", tmp_path / "llama"), evaluation=WINDOWS, state=tmp_path), BUDGET)
