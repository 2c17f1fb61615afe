"""The rules of target gpu-xe3p beyond those of gpu-xe2: floating-point weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ovpass
from ovpass.errors import SettingsError
from ovpass.planning.profile import emulated
from ovpass.settings.settings import Settings
from ovpass.sites import find_compressed_matmuls
from ovpass.targets import GPU_XE2, GPU_XE3P
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Seen
from tests.builders import linear_model
from tests.simulated_gpu import Job

Compile = Callable[[list[Job]], list[Seen]]
GROUPS = (32, 64, 128, PER_TOKEN)
FLOATS = ("w_f8e4m3_ch", "w_f8e4m3_g128", "w_f8e5m2_ch", "w_f4e2m1_ch", "w_f4e2m1_g128", "w_nvfp4_g16")
OTHERS = ("w_nf4_ch", "w_i8_sym_ch", "w_u4_asym_g32", "w_f16_plain", "w_mxfp4_g32_e8m0", "w_mxfp8_g32_e8m0")


def test_the_plugin_agrees(simulated: Callable[[str], Compile]) -> None:
    cases = {(name, group): linear_model(name, n=32) for name in (*FLOATS, *OTHERS) for group in GROUPS}
    jobs = [Job(model, {"DYNAMIC_QUANTIZATION_GROUP_SIZE": group}) for (_, group), model in cases.items()]
    for (case, model), seen in zip(cases.items(), simulated("nova-lake")(jobs), strict=True):
        sites = find_compressed_matmuls(model)
        verdicts = [GPU_XE3P.verdict(site, case[1]) for site in sites]
        assert any(verdict.throws for verdict in verdicts) == (seen.error is not None), case
        if seen.error is None and sites:
            assert seen.groups == {sites[0].name: verdicts[0].group_size}, case


@pytest.mark.parametrize("name", FLOATS)
def test_floating_point_weights_are_for_xe3p_alone(name: str) -> None:
    (site,) = find_compressed_matmuls(linear_model(name))
    assert GPU_XE3P.verdict(site, PER_TOKEN).group_size == PER_TOKEN
    assert GPU_XE2.verdict(site, PER_TOKEN).rule == "weight-type"


def test_their_activations_are_not_emulated() -> None:
    model = linear_model("w_f8e4m3_ch")
    plan = ovpass.make_plan(model, Settings(target="gpu-xe3p"))
    with pytest.raises(SettingsError, match="f8e4m3"):
        emulated(plan, find_compressed_matmuls(model))
