"""The rules of target cpu against the CPU plugin, by numbers: nothing else tells whether it quantizes.

A MatMul whose output at a group size is bit for bit that of group size 0 was not quantized.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from ovpass.sites import find_compressed_matmuls
from ovpass.support.cpu_features import has_amx, has_vnni
from ovpass.targets import CPU
from tests.builders import if_model, linear_model, loop_model, tensor_iterator_model
from tests.targets.compared import Compared
from tests.targets.cpu_table import ZOOS, any_of, compared_on_cpu, outputs_at, quantized, random_inputs

FILES = Path(__file__).resolve().parents[2] / "models" / "formats"
CASES = [(zoo, case) for zoo, (builds, _) in ZOOS.items() for case in builds]


IN_BF16 = ("chains", "bf16")
"""A model all in bf16: a CPU without AMX quantizes it, in groups of any size."""


@pytest.fixture(scope="module")
def zoos() -> dict[tuple[str, str], Compared]:
    return compared_on_cpu()


@pytest.mark.slow
@pytest.mark.parametrize(("zoo", "case"), CASES)
def test_verdicts_are_what_the_plugin_does(zoos: Any, zoo: str, case: str) -> None:
    assert zoos[zoo, case].did
    if not has_vnni():
        assert not any(size for groups in zoos[zoo, case].did.values() for size in groups.values())
    elif (zoo, case) == IN_BF16 and not has_amx():
        assert all(groups == {size: size for size in groups} for groups in zoos[zoo, case].did.values())
    else:
        assert zoos[zoo, case].said == zoos[zoo, case].did


@pytest.mark.vnni
@pytest.mark.parametrize("fmt", ["w_i8_sym_ch", "w_u4_asym_g32"])
@pytest.mark.parametrize("build", [if_model, loop_model, tensor_iterator_model])
def test_bodies_are_quantized_like_the_main_graph(build: Any, fmt: str) -> None:
    model = build(fmt) if build is not loop_model else build(fmt, trips=1)
    sites, groups = find_compressed_matmuls(model), (32, 64)
    assert quantized(model, groups) == {"y": any_of(sites, groups)}


@pytest.mark.vnni
@pytest.mark.parametrize("tokens", [1, 70])
def test_the_number_of_tokens_does_not_matter(tokens: int) -> None:
    assert CPU.default_threshold == 0
    model = linear_model("w_i8_sym_ch", static_tokens=tokens)
    assert quantized(model, (32,)) == {"y": {32: True}}


@pytest.mark.vnni
def test_without_a_group_size_it_is_the_targets_default() -> None:
    model = linear_model("w_i8_sym_ch")
    inputs = random_inputs(model)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = outputs_at(model, CPU.default_group_size, inputs)["y"]
    np.testing.assert_array_equal(compiled(inputs)["y"], expected)
    assert not np.array_equal(expected, outputs_at(model, 0, inputs)["y"])
