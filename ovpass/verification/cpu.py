"""What the CPU plugin really does with each site, proved by numbers: nothing in its runtime model tells.

Sites are cut out of the model, each with an input of its own, and run together: with group size 0, with the setting,
and with ovpass's emulation, which agrees with the plugin to 1e-6 (measured). Bit-identical to group size 0 is
inactive; equal to the emulation of a group size is active with that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.passes.emulate import ActivationQuantizer, Emulate
from ovpass.passes.manager import PassManager
from ovpass.sites import CompressedMatMul

_TOKENS = 16
_TOLERANCE = 1e-5  # measured: 4e-7 between plugin and emulation, 5e-3 and more between group sizes
_GROUPS = (16, 32, 64, 128, 256, 512)

Outputs = Mapping[str, npt.NDArray[Any]]


def found_on_cpu(
    sites: Sequence[CompressedMatMul], properties: Mapping[str, str], likely: Mapping[str, int | None]
) -> dict[str, int | None]:
    """The activation group size of each site under these compile properties; None where nothing is quantized.

    `likely` are the group sizes to try first. -1 stands for active in a way that no emulation matches.
    """
    cut = _cut_out(sites)
    exact = _run(cut, {**properties, GROUP_SIZE: "0"})
    actual = _run(cut, properties)
    found: dict[str, int | None] = {name: None if np.array_equal(actual[name], exact[name]) else -1 for name in exact}
    candidates: list[Mapping[str, int]] = [{name: group for name, group in likely.items() if group}]
    candidates += [dict.fromkeys(found, group) for group in _GROUPS]
    for groups in candidates:
        open_names = {name for name, group in found.items() if group == -1 and _divides(sites, name, groups)}
        if not open_names:
            continue
        emulated = _run(_emulated(cut, {name: groups[name] for name in open_names}), {**properties, GROUP_SIZE: "0"})
        for name in open_names:
            if _close(actual[name], emulated[name]):
                found[name] = groups[name]
    return found


def _cut_out(sites: Sequence[CompressedMatMul]) -> ov.Model:
    """A model of nothing but these MatMuls, each from an input to an output of its name."""
    parameters, results = [], []
    for site in sites:
        matmul = site.matmul
        x = op.parameter([-1, -1, site.k] if site.activation_rank != 2 else [-1, site.k], np.float32)
        x.set_friendly_name(f"input of {site.name}")
        weights = matmul.input_value(site.weights_input)
        transposed = matmul.get_attributes()["transpose_b" if site.weights_input else "transpose_a"]
        # Weights on the first input are summed over their last axis unless transposed.
        copy = op.matmul(x, weights, False, transposed if site.weights_input else not transposed)
        copy.set_friendly_name(site.name)
        copy.output(0).set_names({site.name})
        parameters.append(x)
        results.append(copy)
    return ov.Model(results, parameters)


def _run(model: ov.Model, properties: Mapping[str, str]) -> Outputs:
    compiled = ov.Core().compile_model(model, "CPU", dict(properties))
    rng = np.random.default_rng(0)
    inputs = []
    for port in compiled.inputs:
        shape = [dim.get_length() if dim.is_static else 1 for dim in port.get_partial_shape()]
        shape[-2] = _TOKENS
        inputs.append(rng.standard_normal(shape).astype(np.float32))
    answers = compiled(inputs)
    return {port.get_any_name(): np.array(answers[port]) for port in compiled.outputs}


def _emulated(model: ov.Model, groups: Mapping[str, int]) -> ov.Model:
    quantizers = {
        name: ActivationQuantizer(group, threshold=0, axis=-1, symmetric=True, half=False)
        for name, group in groups.items()
    }
    return PassManager([Emulate(quantizers)]).run(model).model


def _divides(sites: Sequence[CompressedMatMul], name: str, groups: Mapping[str, int]) -> bool:
    k = next(site.k for site in sites if site.name == name)
    return name in groups and (groups[name] >= k or k % groups[name] == 0)


def _close(actual: npt.NDArray[Any], expected: npt.NDArray[Any]) -> bool:
    return bool(np.linalg.norm(actual - expected) <= _TOLERANCE * np.linalg.norm(expected))
