"""What `ovpass sensitivity` takes, and what its rankings are worth.

    python scripts/bench_sensitivity.py [--model FOLDER] [--held-out 4]

Times the sweep and the fast ranking in units of one evaluation of the same plan on the same windows, which is run
again and again in between, so that both see the same load of the machine. Measures every tenth site on the whole model,
too, and checks that each number is the same to the last bit. Compares the fast ranking with the exact
one, and leaves out the worst fifth of the sites by either, and by the local error of their activations: what is left
of the KL divergence on text that no ranking has seen. Takes minutes. Without --model, SmolLM2-135M in int8
(scripts/get_smollm2_float.py --int8), made first where it is not there.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from ovpass.evaluation.candidates import parse_candidate
from ovpass.evaluation.comparison import compare_logits
from ovpass.evaluation.language_model import TextEvaluation
from ovpass.evaluation.preparation import prepare, prepare_reference, without_own_quantization
from ovpass.evaluation.recording import recordings
from ovpass.evaluation.runner import Runner
from ovpass.sites import find_compressed_matmuls
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.sensitivity import Measure, SensitivityReport, sensitivity
from ovpass.tuning.switched_model import Cost
from ovpass.tuning.switches import Switches, switchable
from ovpass.tuning.whole_runner import WholeRunner

WORST = 0.2
WHOLE = 10
EVERY = 12
"""Steps of a run from one evaluation to the next."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Times:
    """Seconds that a run takes by itself, its costs alone, and the mean of the evaluations in between."""

    run: float
    evaluation: float
    costs: float | None = None


def main() -> None:
    """Measure everything in one run and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a folder with a language model and its tokenizer")
    parser.add_argument("--held-out", type=int, default=4, help="windows of text to judge the rankings by")
    arguments = parser.parse_args()
    model = arguments.model or _smollm2()
    state = Path(tempfile.mkdtemp(prefix="ovpass-bench-"))
    try:
        _run(model, state, arguments.held_out)
    finally:
        shutil.rmtree(state)


def _smollm2() -> Path:
    script = Path(__file__).with_name("get_smollm2_float.py")
    return Path(subprocess.run([sys.executable, script, "--int8"], check=True, text=True, stdout=-1).stdout.strip())


@dataclass
class Pace:
    """The `progress` of an experiment: every so many steps it runs an evaluation, whose time is not the run's."""

    evaluate: Callable[[], None] = lambda: None
    seconds: list[float] = field(default_factory=list)
    steps: int = 0
    started: float = 0.0
    costs: float | None = None

    def __call__(self, step: str) -> None:
        """Count a step; the first saving ends the costs."""
        if step.startswith("all but") and self.costs is None:
            self.costs = time.perf_counter() - self.started - sum(self.seconds[1:])
        self.steps += 1
        if self.steps % EVERY == 0:
            self.seconds.append(_timed(self.evaluate)[0])

    def time(self, work: Callable[[], _T]) -> tuple[Times, _T]:
        """What `work` takes by itself."""
        self.seconds, self.steps, self.costs = [_timed(self.evaluate)[0]], 0, None
        self.started = time.perf_counter()
        seconds, result = _timed(work)
        return Times(seconds - sum(self.seconds[1:]), statistics.fmean(self.seconds), self.costs), result


def _run(model: Path, state: Path, held_out: int) -> None:
    pace = Pace()
    experiment = Experiment(model, state=state, progress=pace)
    compile_and_evaluate = _with_compilation(experiment)
    switches, _ = _timed(lambda: experiment.switched)
    pace.evaluate = _evaluation(experiment)
    exact_times, exact = pace.time(lambda: sensitivity(experiment))
    for path in state.iterdir():  # the fast ranking measures every cost again; what activations look like ranks nothing
        facts = [line for line in path.read_text().splitlines(keepends=True) if line.startswith('["facts')]
        path.write_text("".join(facts))
    fast_times, fast = pace.time(lambda: sensitivity(experiment, Measure(fast=True)))
    sites = len(exact.ranking)
    tokens = f"{len(experiment.windows)} windows of {len(experiment.windows[0].ids)} tokens"
    print(f"{model.name}: {sites} sites, {tokens}")
    print(f"one evaluation with compilation {compile_and_evaluate:.1f} s; compiling with switches {switches:.1f} s")
    print(f"{'':28}{'s':>9}{'evaluations':>13}{'a site':>9}")
    for name, times in (("exact: costs and saves", exact_times), ("fast", fast_times)):
        ratio = times.run / times.evaluation
        print(f"{'one evaluation':28}{times.evaluation:9.2f}{1:13.1f}")
        if times.costs is not None:
            alone = times.costs / times.evaluation
            print(f"{'exact: costs':28}{times.costs:9.2f}{alone:13.1f}{alone / sites:9.2f}")
        print(f"{name:28}{times.run:9.2f}{ratio:13.1f}{ratio / sites:9.2f}")
    _print_whole(experiment, exact, pace.evaluate)
    _print_rankings(experiment, exact, fast, held_out)


def _print_whole(experiment: Experiment, exact: SensitivityReport, evaluate: Callable[[], None]) -> None:
    """Costs and saves of every tenth site on the model that is not cut, and whether they are those of the sweep."""
    ir = experiment.ir
    model = without_own_quantization(ir.read())
    sites = [site for site in find_compressed_matmuls(model) if switchable(site) is None]
    runner = WholeRunner(ir, model, sites, Switches(experiment.symmetric, experiment.half))
    windows, everything = experiment.windows, experiment.choice(experiment.plan)
    for choice in ({}, everything, {}):  # the first inference after a shape has grown is wrong on the CPU plugin
        runner.logits(windows[0], choice)
    clean = [runner.logits(window, {}).copy() for window in windows]

    def cost(choice: Mapping[str, int], count: int) -> Cost:
        pairs = zip(clean[:count], windows, strict=False)
        return Cost.of([compare_logits(expected, runner.logits(window, choice), window) for expected, window in pairs])

    half = (len(windows) + 1) // 2
    together, seconds, paces, same = cost(everything, half), 0.0, list[float](), 0
    sample = exact.ranking[::WHOLE]
    for entry in sample:
        alone = {name: everything[name] for name in entry.unit.members}
        rest = {name: size for name, size in everything.items() if name not in alone}
        paces.append(_timed(evaluate)[0])
        taken, found = _timed(lambda: (cost(alone, len(windows)), together.minus(cost(rest, half))))  # noqa: B023
        seconds += taken
        same += found == (entry.costs, entry.saves)
    ratio = seconds / statistics.fmean(paces) / len(sample)
    print(f"whole model, {len(sample)} sites{'':8}{seconds:9.2f}{'':13}{ratio:9.2f}  same numbers: {same}")


def _with_compilation(experiment: Experiment) -> float:
    """Seconds of one evaluation of the plan, from a model in memory."""
    path = experiment.model
    with recordings() as folder:
        evaluation = TextEvaluation(experiment.windows, folder, folder)
        return evaluation.run(parse_candidate(str(path)), [parse_candidate(f"{path}@per-token")]).candidates[0].seconds


def _evaluation(experiment: Experiment) -> Callable[[], None]:
    """Evaluates the plan once, without compilation, in the way of TextEvaluation."""
    path, windows = experiment.model, experiment.windows
    clean = Runner(prepare_reference(parse_candidate(str(path))), "reference")
    truth = [clean.logits(window).copy() for window in windows]
    runner = Runner(prepare(parse_candidate(f"{path}@per-token")), "candidate")

    def evaluate() -> None:
        for expected, window in zip(truth, windows, strict=True):
            compare_logits(expected, runner.logits(window), window)

    evaluate()
    return evaluate


def _timed(work: Callable[[], _T]) -> tuple[float, _T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def _print_rankings(experiment: Experiment, exact: SensitivityReport, fast: SensitivityReport, held_out: int) -> None:
    from scipy.stats import spearmanr  # noqa: PLC0415

    groups = {entry.unit.name: entry.group_size or 0 for entry in exact.ranking}
    rankings: dict[str, Mapping[str, float]] = {
        "exact costs": _costs(exact),
        "exact saves": {entry.unit.name: entry.saves.trimmed for entry in exact.ranking if entry.saves},
        "fast costs": _costs(fast),
        "local error": {e.unit.name: e.facts.errors[groups[e.unit.name]] for e in exact.ranking if e.facts},
    }
    windows = experiment.held_out(held_out)
    count = round(WORST * len(groups))
    macs = {site.name: site.macs for site in experiment.sites if site.name in groups}
    print(f"\nwithout the worst {count} of {len(groups)} sites; KL on {held_out} windows that no ranking has seen")
    print(f"{'worst by':20}{'rank corr.':>12}{'KL trimmed':>12}{'KL mean':>12}{'top-1 lost %':>14}{'MACs left %':>13}")
    for name, ranking in {"nothing left out": {}, **rankings}.items():
        worst = sorted(ranking, key=lambda site: -ranking[site])[:count]
        alike = spearmanr([rankings["exact costs"][s] for s in ranking], list(ranking.values())) if ranking else None
        cost = Cost.of(
            experiment.switched.scores({site: groups[site] for site in groups if site not in worst}, windows)
        )
        print(
            f"{name:20}{'-' if alike is None else format(alike.statistic, '.3f'):>12}"
            f"{cost.trimmed:12.5f}{cost.mean:12.5f}{cost.top1_lost:14.2f}{_left(macs, worst):13.1f}"
        )


def _costs(report: SensitivityReport) -> dict[str, float]:
    return {entry.unit.name: entry.costs.trimmed for entry in report.ranking}


def _left(macs: Mapping[str, int], without: Collection[str]) -> float:
    return 100 * sum(count for site, count in macs.items() if site not in without) / sum(macs.values())


if __name__ == "__main__":
    main()
