"""What a search costs on many machines, on paper: hours and bytes from a small simulation.

    python scripts/simulate_fleet.py [--billion 70] [--sites 561] [--machines 1,8,64] [--cores 64] [--json]
    python scripts/simulate_fleet.py --measure FOLDER

Workers start, read the model from one shared storage, compile it, run the exact model once and then take evaluations
one after the other, as those of `ovpass sensitivity --cluster` do. The scheduler hands out one at a time. Workers are
lost at random; their evaluation starts again, and a new worker starts from the beginning. --measure prints the
constants that this machine has, with a model small enough for it; the defaults in `Constants` were measured so.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import pickle
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from ovpass.evaluation.options import Evaluation
from ovpass.tuning.executors import Task, Workers
from ovpass.tuning.executors.copies import Recipe
from ovpass.tuning.experiment import Experiment

SEED = 0
ROUNDS = 5
SEARCH, EVALUATIONS = "sensitivity", 1.53
"""Evaluations of each site (scripts/bench_sensitivity.py). The fast ranking runs in one process."""


@dataclass(frozen=True)
class Constants:
    """Measured: core-seconds for a token and a billion weights, core-seconds to compile a billion weights, seconds of
    the scheduler for a task, and bytes that a task sends to a worker and back for each token. Assumed, and options:
    what one storage gives all machines together and the network gives one, in GB/s, and hours until a worker is lost.
    """

    compute: float = 0.23
    compiling: float = 206.0
    scheduling: float = 0.010
    sent: float = 49.0
    storage: float = 2.0
    network: float = 1.0
    hours_until_lost: float = 200.0


@dataclass(frozen=True)
class Search:
    """A search of a model: billions of weights, bytes of the IR in GB, evaluations, and tokens of each."""

    name: str
    billion: float
    gigabytes: float
    evaluations: int
    tokens: float


@dataclass(frozen=True)
class Line:
    """What a search takes: hours until the last result, hours of all machines together, and GB that are moved."""

    search: str
    evaluations: int
    machines: int
    hours: float
    machine_hours: float
    gigabytes: float
    lost: int


def main() -> None:
    """Print the table, or the constants of this machine."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", type=Path, help="a folder with a small language model; prints constants")
    parser.add_argument("--billion", type=float, default=70.0, help="weights")
    parser.add_argument("--bits", type=float, default=4.34, help="of a weight in the IR, scales included")
    parser.add_argument("--sites", type=int, default=561)
    parser.add_argument("--tokens", type=int, default=512, help="of one evaluation")
    parser.add_argument("--machines", default="1,8,64")
    parser.add_argument("--cores", type=int, default=64, help="of each machine")
    parser.add_argument("--storage", type=float, default=Constants.storage, help="GB/s for all machines together")
    parser.add_argument("--network", type=float, default=Constants.network, help="GB/s for each machine")
    parser.add_argument("--hours-until-lost", type=float, default=Constants.hours_until_lost)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.measure is not None:
        print(json.dumps(measured(arguments.measure), indent=2))
        return
    constants = Constants(
        storage=arguments.storage, network=arguments.network, hours_until_lost=arguments.hours_until_lost
    )
    lines = [
        simulate(_search(arguments), machines, arguments.cores, constants)
        for machines in map(int, arguments.machines.split(","))
    ]
    if arguments.json:
        print(json.dumps([asdict(line) for line in lines], indent=2))
        return
    print("search              measurements  machines    hours  machine hours  GB moved  workers lost")
    for line in lines:
        print(
            f"{line.search:20} {line.evaluations:11}  {line.machines:8} {line.hours:8.2f} {line.machine_hours:14.1f} "
            f"{line.gigabytes:9.0f} {line.lost:13}"
        )


def _search(arguments: argparse.Namespace) -> Search:
    size = arguments.billion * arguments.bits / 8
    count = round(EVALUATIONS * arguments.sites)
    return Search(SEARCH, arguments.billion, size, count, arguments.tokens)


def simulate(search: Search, machines: int, cores: int, constants: Constants) -> Line:
    """Run the search on paper; the same numbers each time."""
    chance = random.Random(SEED)
    evaluation = constants.compute * search.tokens * search.billion / cores
    reading = max(search.gigabytes / constants.network, search.gigabytes * machines / constants.storage)
    compiling = constants.compiling * search.billion / cores
    start = reading + compiling + evaluation
    ends = _losses(chance, machines, constants.hours_until_lost)
    free = [(start, machine) for machine in range(machines)]
    left, scheduler, last, lost = search.evaluations, 0.0, 0.0, 0
    while left:
        at, machine = heapq.heappop(free)
        scheduler = max(scheduler, at) + constants.scheduling
        done = scheduler + evaluation
        if done > ends[machine]:
            lost += 1
            again = max(ends[machine], at) + search.gigabytes / constants.network + compiling + evaluation
            ends[machine] = again + chance.expovariate(1 / (3600 * constants.hours_until_lost))
            heapq.heappush(free, (again, machine))
            continue
        left, last = left - 1, max(last, done)
        heapq.heappush(free, (done, machine))
    moved = search.gigabytes * (machines + lost) + search.evaluations * search.tokens * constants.sent / 1e9
    hours = last / 3600
    return Line(search.name, search.evaluations, machines, hours, hours * machines, moved, lost)


def _losses(chance: random.Random, machines: int, hours: float) -> list[float]:
    """When each machine's worker is lost, in seconds."""
    return [chance.expovariate(1 / (3600 * hours)) for _ in range(machines)]


def measured(model: Path) -> dict[str, float]:
    """The constants of this machine: medians of some rounds."""
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as state:
        experiment = Experiment(model, evaluation=Evaluation(), state=Path(state))
        windows = experiment.windows
        tokens = sum(len(window.ids) for window in windows)
        billion = sum(site.k * site.n for site in experiment.sites) / 1e9
        started = time.perf_counter()
        switched = experiment.switched
        # Making it runs the longest window four times, to warm up.
        made = time.perf_counter() - started
        choice = experiment.choice(experiment.plan)
        switched.scores(choice, windows)
        evaluation = _median(lambda: switched.scores(choice, windows))
        single = evaluation * len(windows[0].ids) / tokens
        task = Task(choice, windows)
        sent = len(pickle.dumps((Recipe.of(experiment, cores), task)))
        back = len(pickle.dumps(switched.scores(choice, windows)))
        return {
            "cores": cores,
            "compute": evaluation * cores / tokens / billion,
            "compiling": max(0.0, made - 4 * single) * cores / billion,
            "scheduling": _scheduling(experiment, task),
            "sent": (sent + back) / tokens,
        }


def _scheduling(experiment: Experiment, task: Task) -> float:
    """Seconds that a task takes beside its work: one without windows, on a cluster of one worker."""
    on_cluster = Experiment(
        experiment.model,
        evaluation=experiment.evaluation,
        executor="cluster",
        workers=Workers(count=1, cluster="local"),
    )
    empty = Task(task.choice, [])
    list(on_cluster.run([empty]))
    return _median(lambda: list(on_cluster.run([empty] * 20))) / 20


def _median(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return sorted(seconds)[ROUNDS // 2]


if __name__ == "__main__":
    main()
