"""The rules of target gpu-xe3p beyond those of gpu-xe2: floating-point weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

import ovpass
from ovpass.formats.float_types import nearest_codes, values_by_code
from ovpass.passes.quantizers import Quantizer
from ovpass.planning.profile import emulated
from ovpass.settings.settings import Settings
from ovpass.sites import find_compressed_matmuls
from ovpass.targets import GPU_XE2, GPU_XE3P
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.reference_arithmetic import dequantized_float
from ovpass.verification import Observation
from tests.builders import linear_model
from tests.passes.helpers import outputs
from tests.simulated_gpu import Job
from tests.targets.gpu_table import FLOATS, XE3P_ZOOS, compared_on_gpu

Compile = Callable[[list[Job]], list[Observation]]
MICROSCALING = ("w_mxfp4_g32_e8m0", "w_mxfp8_g32_e8m0")
EXEMPT = (ovpass.Rule("linear", exempt=True),)


def test_the_plugin_agrees(simulated: Callable[[str], Compile]) -> None:
    found = compared_on_gpu(GPU_XE3P, simulated("nova-lake"), XE3P_ZOOS)
    assert {case: one.said for case, one in found.items()} == {case: one.did for case, one in found.items()}
    assert any(size for one in found.values() for groups in one.did.values() for size in groups.values())


@pytest.mark.parametrize("name", MICROSCALING)
def test_microscaling_compiles_in_groups_of_its_own_alone(simulated: Callable[[str], Compile], name: str) -> None:
    model, groups = linear_model(name, n=32), (32, 64)
    (site,) = find_compressed_matmuls(model)
    assert [GPU_XE3P.verdict(site, group).throws for group in groups] == [False, True]
    jobs = [Job(model, {"DYNAMIC_QUANTIZATION_GROUP_SIZE": group}) for group in groups]
    own, other = simulated("nova-lake")(jobs)
    assert own.groups == {site.name: 32}
    assert other.error is not None


@pytest.mark.parametrize("name", FLOATS)
def test_floating_point_weights_are_for_xe3p_alone(name: str) -> None:
    (site,) = find_compressed_matmuls(linear_model(name))
    assert GPU_XE3P.verdict(site, PER_TOKEN).group_size == PER_TOKEN
    assert GPU_XE2.verdict(site, PER_TOKEN).rule == "weight-type"


def test_they_are_quantized_for_any_number_of_tokens(simulated: Callable[[str], Compile]) -> None:
    """10 tokens, where integers are not."""
    config = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": PER_TOKEN}
    jobs = [Job(linear_model(name, n=32), config, shapes={"x": [1, 10, 512]}) for name in (FLOATS[0], "w_i4_sym_ch")]
    ran = [list(seen.runs[0].executed.values()) for seen in simulated("nova-lake")(jobs)]
    assert ran == [[True], [False]]


@pytest.mark.parametrize("group", [64, PER_TOKEN])
@pytest.mark.parametrize("name", ["w_f8e4m3_ch", "w_f8e5m2_ch", "w_f4e2m1_ch"])
def test_their_activations_are_emulated(name: str, group: int) -> None:
    """Like NumPy: the same numbers, up to the order of sums in the product."""
    model = linear_model(name, n=32)
    plan = ovpass.make_plan(model, Settings(target="gpu-xe3p", group_size=group))
    (site,) = find_compressed_matmuls(model)
    changed = ovpass.apply(model, emulated(plan, [site]))
    x = np.random.default_rng(0).standard_normal((1, 9, site.k), np.float32) * np.logspace(-2, 2, 9)[:, None]
    x = x.astype(np.float16).astype(np.float32)
    (exact,), (found,) = outputs(model, {"x": x}), outputs(changed, {"x": x})
    expected = outputs(model, {"x": dequantized_float(x, group, site.weight_type)})[0]
    scale = np.abs(exact).max(-1, keepdims=True)
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-5)
    assert np.abs((found - exact) / scale).max() > 1e-3


def test_every_half_is_rounded_to_the_nearest_code() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    for name in ("f8e4m3", "f8e5m2", "f4e2m1"):
        values = values_by_code(name)
        halves = every[np.abs(every) <= values[np.isfinite(values)].max()]
        x = op.parameter([-1, -1], ov.Type.f32)
        x.output(0).set_names({"x"})
        codes = Quantizer(-1, lambda node, _: node).build_float(x, name).codes
        largest = np.full_like(halves, values[np.isfinite(values)].max())  # beside each, so that the factor is 1
        (found,) = outputs(ov.Model([codes], [x]), {"x": np.stack([halves, largest], 1)})
        nearest = values[nearest_codes(halves, name)]
        flushed = (np.abs(halves) < 2.0**-9) & (name == "f8e4m3")
        assert np.array_equal(found[:, 0], np.where(flushed, 0, nearest))


def test_the_type_of_activations_is_that_of_the_weights() -> None:
    model = linear_model("w_f8e4m3_ch")
    (site,) = find_compressed_matmuls(model)
    assert GPU_XE3P.activation_type(site) == "f8e4m3"
    assert GPU_XE2.activation_type(site) == "i8"


def test_they_are_exempt_by_other_weights_alone() -> None:
    """Without quantization there is no kernel for them: the first inference fails (measured)."""
    plan = ovpass.make_plan(linear_model("w_f8e4m3_ch"), exempt := Settings(target="gpu-xe3p", rules=EXEMPT))
    assert [decision.method for decision in plan.decisions] == ["f16-weights"]
    integers = ovpass.make_plan(linear_model("w_i8_sym_ch"), exempt)
    assert [decision.method for decision in integers.decisions] == ["rank-4"]
