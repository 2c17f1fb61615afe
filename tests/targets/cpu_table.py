"""MatMuls by the hundred on the CPU plugin: what target cpu says of each, and what the plugin does, by numbers.

A MatMul whose output at a group size is bit for bit that of group size 0 was not quantized.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.targets import CPU
from ovpass.targets.group_sizes import PER_TOKEN
from tests.builders import pair_model, tied_model, trio_model
from tests.targets.cases import CHAINS, LENGTHS, PLAIN, SHAPES, Build, merged, weight_groups
from tests.targets.compared import FILES, Compared, Groups
from tests.targets.scaled_cases import SCALED
from tests.targets.static_cases import STATIC

TOKENS, BATCH = 5, 4

Array = npt.NDArray[Any]
Answers = dict[int, bool]
"""Group size -> quantized or not."""

EVERY_GROUP = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, PER_TOKEN)
FEW_GROUPS = (16, 32, 64, 128)


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
    "quantized by the model": (STATIC, FEW_GROUPS),
    "scaled products": (SCALED, FEW_GROUPS),
    "structures": (STRUCTURES, FEW_GROUPS),
    "files": (FILES, FEW_GROUPS),
}


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


def compared_on_cpu() -> dict[tuple[str, str], Compared]:
    """For each case of each zoo and each of its outputs whether its MatMul is quantized."""
    found = {}
    for zoo, (builds, groups) in ZOOS.items():
        models = {case: build() for case, build in builds.items()}
        sites = {case: find_compressed_matmuls(model) for case, model in models.items()}
        outputs = quantized(merged(models), groups)
        for case in builds:
            did = {name: answers for name, answers in outputs.items() if name.startswith(f"{case}/")}
            verdicts = [any_of([site], groups) for site in sites[case]] or [dict.fromkeys(groups, False)]
            found[zoo, case] = Compared(_as_groups(dict(zip(did, verdicts, strict=True))), _as_groups(did), sites[case])
    return found


def _as_groups(answers: Mapping[str, Answers]) -> dict[str, Groups]:
    return {name: {group: group if yes else None for group, yes in each.items()} for name, each in answers.items()}
