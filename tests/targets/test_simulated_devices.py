"""The rules of each generation of GPUs against the real GPU plugin, which compiles for a device of it here.

An Arc A770 has test_gpu_xmx.py. Every device is asked for its graph of all cases, which takes no kernels, and a case
for each rule is compiled: both have to agree. scripts/device_tables.py compiles all cases for all devices.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ovpass.targets.names import get_target, target_of
from ovpass.verification import Observation
from tests.builders import linear_model
from tests.simulated_gpu import Job
from tests.targets.compared import Compared
from tests.targets.gpu_table import FEW, ZOOS, compared_on_gpu
from tests.targets.no_xmx_table import compared_without_xmx

Compile = Callable[[list[Job]], list[Observation]]
Simulated = Callable[[str], Compile]


def differing(found: dict[tuple[str, str], Compared]) -> dict[tuple[str, str], object]:
    return {case: (one.said, one.did) for case, one in found.items() if one.said != one.did}


@pytest.mark.parametrize("device", ["arc-b580", "arrow-lake-h", "lunar-lake", "panther-lake"])
def test_all_cases(simulated: Simulated, device: str) -> None:
    found = compared_on_gpu(get_target(device), simulated(device), ZOOS, queried=True)
    assert len(found) > 300
    assert differing(found) == {}


def test_a_compiled_model_does_as_its_graph_says(simulated: Simulated) -> None:
    """Compiled kernels change no decision: a case for each rule. The tables of gpu-xmx are compiled anyway."""
    device = "arc-b580"
    compiled = compared_on_gpu(get_target(device), simulated(device), FEW)
    queried = compared_on_gpu(get_target(device), simulated(device), FEW, queried=True)
    assert differing(compiled) == {}
    assert {case: one.did for case, one in compiled.items()} == {case: one.did for case, one in queried.items()}


def test_kernels_of_a_meteor_lake(simulated: Simulated) -> None:
    assert differing(compared_without_xmx(simulated("meteor-lake"))) == {}


@pytest.mark.parametrize("device", ["arc-a770", "arrow-lake-h", "arc-b580", "panther-lake"])
def test_a_device_says_what_it_is(simulated: Simulated, device: str) -> None:
    (seen,) = simulated(device)([Job(linear_model("w_i8_sym_ch", n=16))])
    assert seen.target is get_target(device)
    assert target_of(int(seen.architecture.partition(".")[0]), xmx=seen.xmx) is seen.target
    assert seen.driver


@pytest.mark.parametrize("device", ["arc-b580", "arrow-lake-h"])
def test_threshold(simulated: Simulated, device: str) -> None:
    model, threshold = linear_model("w_i8_sym_ch", n=16), get_target(device).default_threshold
    jobs = [Job(model, shapes={"x": [1, tokens, 512]}) for tokens in (threshold, threshold + 1)]
    jobs.append(Job(linear_model("w_i8_sym_ch", n=16, static_tokens=1), shapes={"x": [1, 1, 512]}))
    ran = [list(run.executed.values()) for seen in simulated(device)(jobs) for run in seen.runs]
    assert ran == [[False], [True], [True]]
