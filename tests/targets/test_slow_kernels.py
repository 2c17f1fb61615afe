"""Sites that have no fast kernel, against what the GPU plugin runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ovpass
from ovpass.sites import find_compressed_matmuls
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.names import get_target
from ovpass.verification import Observation
from ovpass.verification.reference_kernels import reference_kernels
from tests.builders import linear_model
from tests.simulated_gpu import Job

Compile = Callable[[list[Job]], list[Observation]]
CASES = {
    "w_i8_sym_ch": (PER_TOKEN,),
    "w_i8_asym_ch": (PER_TOKEN,),
    "w_u8_asym_ch": (PER_TOKEN,),
    "w_u8_asym_g32": (PER_TOKEN, 128),
    "w_u4_asym_g128": (PER_TOKEN,),
    "w_u2_g128": (PER_TOKEN,),
}


@pytest.mark.parametrize(("device", "slow"), [("arrow-lake-h", 3), ("arc-b580", 2)])
def test_the_plugin_agrees(simulated: Callable[[str], Compile], device: str, slow: int) -> None:
    """100 tokens, so that it quantizes."""
    cases = [(linear_model(name, n=32), group) for name, groups in CASES.items() for group in groups]
    shapes = {"x": [1, 100, 512]}
    jobs = [Job(model, {"DYNAMIC_QUANTIZATION_GROUP_SIZE": group}, shapes=shapes) for model, group in cases]
    told = []
    for (model, group), seen in zip(cases, simulated(device)(jobs), strict=True):
        plan = ovpass.make_plan(model, ovpass.Settings(group_size=group, target=device))
        planned = [note for note in plan.notes if "slow" in note]
        found = reference_kernels(seen, find_compressed_matmuls(model), plan, simulated=True)
        assert len(planned) == len(found)
        assert [matmul.kernel for matmul in seen.matmuls] != ["undef"]
        told += found
    assert len(told) == slow
    assert all("simulated device" in note for note in told)


def test_the_way_out_is_a_group_size() -> None:
    model = linear_model("w_u8_asym_g32")
    (site,) = find_compressed_matmuls(model)
    target = get_target("gpu-xmx")
    assert "becomes 32" in (target.slow_kernel(site, PER_TOKEN) or "")
    assert target.slow_kernel(site, 32) is None
    assert any("becomes 32" in note for note in ovpass.make_plan(model).notes)
