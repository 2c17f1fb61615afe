"""A device's own plan, emulated: against the simulated GPU's plugin, and against the CPU plugin's numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import openvino as ov
import pytest

from ovpass import api
from ovpass.lowerings.planner import make_plan
from ovpass.planning.plan import EXEMPT, QUANTIZE, Plan
from ovpass.planning.profile import emulated
from ovpass.settings.settings import Rule, Settings
from ovpass.sites import find_compressed_matmuls
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.reference_arithmetic import dequantized
from ovpass.verification import Observation
from tests.builders import linear_model, shared_model
from tests.passes.helpers import GROUP_SIZE, activations, outputs, relative, same
from tests.simulated_gpu import Job
from tests.targets.cases import merged

Compile = Callable[[list[Job], float | None], list[Observation]]


def mixed() -> ov.Model:
    """Sites that GPUs quantize, that cap the group, and that are not quantized."""
    models = {
        "eligible": linear_model("w_i8_sym_ch"),
        "capped": linear_model("w_u4_asym_g64"),
        "four_bits": linear_model("w_i4_sym_g128"),
        "table": linear_model("w_nf4_g128"),
        "odd": linear_model("w_i8_sym_ch", k=528),
        "wide": linear_model("w_i8_sym_ch", rank=4),
        "static": linear_model("w_i8_sym_ch", static_tokens=8),
    }
    return merged(models)


def profile_of(model: ov.Model, *rules: Rule, **settings: object) -> Plan:
    """What the target of the settings would do, emulated."""
    plan = make_plan(model, Settings(rules=rules, **settings))  # type: ignore[arg-type]
    return emulated(plan, find_compressed_matmuls(model))


def groups(plan: Plan) -> Mapping[str, int | None]:
    return {decision.name: decision.group_size for decision in plan.decisions}


def test_the_gpus_profile_quantizes_what_its_plugin_does(simulated_gpu: Compile) -> None:
    model = mixed()
    plan = profile_of(model, group_size=128)
    assert set(groups(plan).values()) == {128, 64, None}
    (seen,) = simulated_gpu([Job(model, {GROUP_SIZE: "128"})], None)
    assert {name: seen.groups[name] for name in groups(plan)} == groups(plan)


def test_below_its_threshold_the_gpu_leaves_activations_alone() -> None:
    model = linear_model()
    changed = api.apply(model, profile_of(model))
    for tokens, alike in ((1, True), (64, True), (65, False)):
        x = {"x": activations(1, tokens, 512)}
        assert same(outputs(changed, x), outputs(model, x, 0)) == alike
    at_zero = api.apply(model, profile_of(model, threshold=0))
    assert not same(outputs(at_zero, {"x": activations(1, 1, 512)}), outputs(model, {"x": activations(1, 1, 512)}, 0))


def test_static_shapes_ignore_the_threshold() -> None:
    model = linear_model(static_tokens=8)
    x = {"x": activations(1, 8, 512)}
    assert not same(outputs(api.apply(model, profile_of(model)), x), outputs(model, x, 0))


def test_the_gpus_arithmetic_is_its_kernels() -> None:
    """The NumPy reference is the one that the kernels' codes in tests/golden prove."""
    model = linear_model()
    x = activations(1, 70, 512)
    for group in (PER_TOKEN, 32):
        found = outputs(api.apply(model, profile_of(model, group_size=group)), {"x": x})
        # what is left of an activation is the same number for number: only the order of sums may differ
        assert relative(found, outputs(model, {"x": dequantized(x, group, half=True)}, 0)) < 1e-6


@pytest.mark.vnni
@pytest.mark.parametrize("lengths", [(512, 528, 80), (100, 48)])
def test_the_cpus_profile_is_the_plugins_own(lengths: tuple[int, ...]) -> None:
    """Where K is no multiple of 32 the last group is a shorter one."""
    model = merged({f"k{k}": linear_model("w_i8_sym_ch", k=k) for k in lengths})
    inputs = {f"k{k}/x": activations(1, 20, k) for k in lengths}
    plan = profile_of(model, group_size=32, target="cpu")
    assert set(groups(plan).values()) == {32}
    found, native, exact = (
        outputs(api.apply(model, plan), inputs, 0),
        outputs(model, inputs, 32),
        outputs(model, inputs, 0),
    )
    for emulation, plugin, truth in zip(found, native, exact, strict=True):
        assert relative(emulation, plugin) < 1e-5  # sums of products in another order
        assert relative(plugin, truth) > 1e-3


def test_what_is_exempt_stays_exact() -> None:
    model = shared_model(["w_i8_sym_ch", "w_i8_sym_ch"], [64, 64])
    plan = profile_of(model, Rule("linear_1", exempt=True), threshold=0)
    actions = {decision.name: decision.action for decision in plan.decisions}
    assert actions == {"linear_0": QUANTIZE, "linear_1": EXEMPT}
    x = {"x": activations(1, 4, 512)}
    found, exact = outputs(api.apply(model, plan), x), outputs(model, x, 0)
    assert not np.array_equal(found[0], exact[0])
    assert np.array_equal(found[1], exact[1])
