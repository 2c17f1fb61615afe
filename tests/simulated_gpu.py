"""Many models at once on a simulated GPU of `ovpass.verification`: what tests need beyond it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openvino as ov

from ovpass.verification import Observation, Order, SimulatedGpu
from ovpass.verification.observation import TRACING

SECONDS_PER_JOB = 120


@dataclass(frozen=True)
class Job:
    """One compilation: a model or the path of its XML, and what to look at, as in Order."""

    model: ov.Model | Path
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] | None = None
    tokens: Sequence[int] = ()
    bisect: bool = False
    traced: bool = False
    queried: bool = False


def compile_on_simulated_gpu(
    jobs: Sequence[Job], timeout: float | None = None, profile: str = "arc-a770"
) -> list[Observation]:
    """Compile all jobs on a device, those with one environment in one child. A model that jobs share is saved once.

    Raises:
        VerifyError: where there is no driver, and where the child dies or takes longer than `timeout` seconds.
    """
    environments: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for index, job in enumerate(jobs):
        variables = {**job.environment, **(TRACING if job.traced or job.queried else {})}
        environments.setdefault(tuple(sorted(variables.items())), []).append(index)
    done: dict[int, Observation] = {}
    with tempfile.TemporaryDirectory(prefix="ovpass-jobs-") as folder:
        orders = _orders(jobs, Path(folder))
        for environment, indices in environments.items():
            gpu = SimulatedGpu(profile, timeout=timeout or SECONDS_PER_JOB * (len(indices) + 1))
            done.update(zip(indices, gpu.look([orders[i] for i in indices], dict(environment)), strict=True))
    return [done[index] for index in range(len(jobs))]


def _orders(jobs: Sequence[Job], folder: Path) -> list[Order]:
    saved: dict[int, Path] = {}
    for job in jobs:
        if not isinstance(job.model, Path) and id(job.model) not in saved:
            saved[id(job.model)] = folder / f"model_{len(saved)}.xml"
            ov.save_model(job.model, saved[id(job.model)], compress_to_fp16=False)
    paths = [job.model.resolve() if isinstance(job.model, Path) else saved[id(job.model)] for job in jobs]
    return [
        Order(str(path), job.config, job.tokens, job.shapes, job.bisect, job.traced, job.queried)
        for path, job in zip(paths, jobs, strict=True)
    ]
