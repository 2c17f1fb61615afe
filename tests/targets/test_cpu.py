"""The rules of target cpu against the CPU plugin, by numbers: nothing else tells whether it quantizes.

A MatMul whose output at a group size is bit for bit that of group size 0 was not quantized.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest

from ovpass.groups import PER_TOKEN
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.targets import CPU
from tests.builders import if_model, linear_model, loop_model, pair_model, tensor_iterator_model, tied_model, trio_model
from tests.targets.cases import CHAINS, LENGTHS, PLAIN, SHAPES, Build, merged, weight_groups

FILES = Path(__file__).resolve().parents[2] / "models" / "formats"
TOKENS, BATCH = 5, 4

Array = npt.NDArray[Any]
Answers = dict[int, bool]
"""Group size -> quantized or not."""

EVERY_GROUP = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, PER_TOKEN)
FEW_GROUPS = (16, 32, 64, 128)


def from_file(path: Path) -> Build:
    return lambda: ov.Core().read_model(path)


# The plugin throws on the first, and a scale for each weight divides by zero, at group size 0 too.
CRASHES = ("batched-on-rank-2", "scale-per-column", "scale-per-weight")
COMPILED_CHAINS = {name: build for name, build in CHAINS.items() if name not in CRASHES}
STRUCTURES: dict[str, Build] = {
    "trio": lambda: trio_model("w_u4_asym_g64"),
    "trio-mixed": lambda: trio_model(["w_i8_sym_ch", "w_u4_asym_g128", "w_i4_sym_g128"]),
    "pair": lambda: pair_model("w_i4_sym_g64"),
    "tied": tied_model,
}
ZOOS: dict[str, tuple[dict[str, Build], tuple[int, ...]]] = {
    "weight groups": (weight_groups(), EVERY_GROUP),
    "formats": (PLAIN, EVERY_GROUP),
    "K": (LENGTHS, FEW_GROUPS),
    "shapes": (SHAPES, FEW_GROUPS),
    "chains": (COMPILED_CHAINS, FEW_GROUPS),
    "structures": (STRUCTURES, FEW_GROUPS),
    "files": ({path.stem: from_file(path) for path in sorted(FILES.glob("*.xml"))}, FEW_GROUPS),
}
CASES = [(zoo, case) for zoo, (builds, _) in ZOOS.items() for case in builds]


def random_inputs(model: ov.Model) -> dict[str, Array]:
    """Activations for every input; token ids where it takes integers."""
    rng = np.random.default_rng(0)
    inputs = {}
    for port in model.inputs:
        dimensions = list(port.partial_shape)
        shape = [size.get_length() if size.is_static else TOKENS for size in dimensions]
        shape[:-2] = [size if dimensions[i].is_static else BATCH for i, size in enumerate(shape[:-2])]
        shape = [512 if i and i == len(shape) - 1 and dimensions[i].is_dynamic else n for i, n in enumerate(shape)]
        kind = port.get_element_type()
        ids = rng.integers(0, 2, shape) if kind.is_integral() else rng.normal(size=shape)
        inputs[port.any_name] = ids.astype(kind.to_dtype())  # bf16 reads these bits as its own
    return inputs


def outputs_at(model: ov.Model, group_size: int, inputs: Mapping[str, Array]) -> dict[str, Array]:
    config = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(group_size)}
    compiled = ov.Core().compile_model(model, "CPU", config)
    answer = compiled(inputs)
    return {port.any_name: answer[port] for port in compiled.outputs}


def quantized(model: ov.Model, groups: tuple[int, ...]) -> dict[str, Answers]:
    """For each output, whether it is that of group size 0, bit for bit."""
    inputs = random_inputs(model)
    exact = outputs_at(model, 0, inputs)
    at = {group: outputs_at(model, group, inputs) for group in groups}
    return {
        name: {group: not np.array_equal(at[group][name], exact[name], equal_nan=True) for group in groups}
        for name in exact
    }


def any_of(sites: list[CompressedMatMul], groups: tuple[int, ...]) -> Answers:
    return {group: any(CPU.verdict(site, group).eligible for site in sites) for group in groups}


@pytest.fixture(scope="module")
def zoos() -> dict[tuple[str, str], tuple[list[Answers], list[Answers]]]:
    """For each case and each of its outputs: what the target says of its MatMul, and what the plugin did."""
    found = {}
    for zoo, (builds, groups) in ZOOS.items():
        models = {case: build() for case, build in builds.items()}
        sites = {case: find_compressed_matmuls(model) for case, model in models.items()}
        did = quantized(merged(models), groups)
        for case in builds:
            outputs = [answers for name, answers in did.items() if name.startswith(f"{case}/")]
            found[zoo, case] = ([any_of([site], groups) for site in sites[case]], outputs)
    return found


@pytest.mark.parametrize(("zoo", "case"), CASES)
def test_verdicts_are_what_the_plugin_does(zoos: Any, zoo: str, case: str) -> None:
    said, did = zoos[zoo, case]
    assert (said or [dict.fromkeys(ZOOS[zoo][1], False)]) == did


@pytest.mark.parametrize("fmt", ["w_i8_sym_ch", "w_u4_asym_g32"])
@pytest.mark.parametrize("build", [if_model, loop_model, tensor_iterator_model])
def test_bodies_are_quantized_like_the_main_graph(build: Any, fmt: str) -> None:
    model = build(fmt) if build is not loop_model else build(fmt, trips=1)
    sites, groups = find_compressed_matmuls(model), (32, 64)
    assert quantized(model, groups) == {"y": any_of(sites, groups)}


@pytest.mark.parametrize("tokens", [1, 70])
def test_the_number_of_tokens_does_not_matter(tokens: int) -> None:
    assert CPU.default_threshold == 0
    model = linear_model("w_i8_sym_ch", static_tokens=tokens)
    assert quantized(model, (32,)) == {"y": {32: True}}


def test_without_a_group_size_it_is_the_targets_default() -> None:
    model = linear_model("w_i8_sym_ch")
    inputs = random_inputs(model)
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    expected = outputs_at(model, CPU.default_group_size, inputs)["y"]
    np.testing.assert_array_equal(compiled(inputs)["y"], expected)
    assert not np.array_equal(expected, outputs_at(model, 0, inputs)["y"])
