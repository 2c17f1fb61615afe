"""Verify the CPU plugin by numbers, because its runtime model does not show quantization.

Sites are cut out of the model, each with its own input and the biases and factors that follow it, and run together
three times: with group size 0, with the setting, and with group size 0 on activations that are already quantized, which
agrees with the plugin to 1e-6 (measured). An output that is bit-identical to group size 0 means inactive. An output
equal to that of quantized activations means active with that group size. If quantized activations change no number, as
with weights of zero, nothing can be told. The runtime model shows int8 products of the int8 lowering only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.ir.constant_folding import evaluate, settle_shapes
from ovpass.ir.runtime_options import GROUP_SIZE, as_group_size
from ovpass.sites import CompressedMatMul
from ovpass.sites.constant_arithmetic import constant_arithmetic
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.reference_arithmetic import dequantized
from ovpass.verification.original_names import without_lowering
from ovpass.verification.report import OTHERWISE

_TOKENS = 16
_TOLERANCE = 2e-3  # measured: 4e-7 between plugin and this, 3e-4 for each rounding that flips, 5e-3 between group sizes
_GROUPS = (32, 16, 64, 128, 256, 512)
_NEAR_ZERO = 1e-30
_BIASES = ("Add", "Subtract")
_FACTORS = {"Multiply": op.multiply, "Divide": op.divide}

Inputs = dict[str, npt.NDArray[Any]]
Outputs = Mapping[str, npt.NDArray[Any]]


def found_on_cpu(
    sites: Sequence[CompressedMatMul], properties: Mapping[str, str], likely: Mapping[str, int | None]
) -> dict[str, int | None]:
    """The activation group size of each site under these compile properties; None where nothing is quantized.

    `likely` are the group sizes to try first. OTHERWISE stands for active in a way that no known group explains. Sites
    of which nothing can be told are left out.
    """
    none: dict[str, int | None] = {site.name: None for site in sites if site.of_integers}
    sites = [site for site in sites if site.name not in none]
    if not sites:
        return none
    cut = _cut_out(sites)
    exact = ov.Core().compile_model(cut, "CPU", {**properties, GROUP_SIZE: "0"})
    inputs = _inputs(cut)
    plain = _outputs(exact, inputs)
    actual = _outputs(ov.Core().compile_model(cut, "CPU", dict(properties)), inputs)
    active = {name for name in plain if not np.array_equal(actual[name], plain[name], equal_nan=True)}
    found: dict[str, int | None] = {name: OTHERWISE if name in active else None for name in plain}
    requested = as_group_size(properties.get(GROUP_SIZE, ""))
    inactive = found.keys() - active
    untold = inactive & _indifferent(sites, exact, inputs, plain) if inactive else set()
    for groups in (likely, *(dict.fromkeys(found, group) for group in (requested, *_GROUPS))):
        tried = {name: group for name, group in groups.items() if group and found.get(name) == OTHERWISE}
        if not tried:
            continue
        expected = _outputs(exact, _all_quantized(sites, inputs, tried))
        found.update({name: group for name, group in tried.items() if _close(actual[name], expected[name])})
    return none | {name: group for name, group in found.items() if name not in untold}


def _indifferent(
    sites: Sequence[CompressedMatMul], exact: ov.CompiledModel, inputs: Inputs, plain: Outputs
) -> set[str]:
    """The sites whose outputs do not depend on whether their activations are quantized."""
    quantized = _outputs(exact, _all_quantized(sites, inputs, {site.name: _GROUPS[0] for site in sites}))
    return {name for name in plain if np.array_equal(quantized[name], plain[name], equal_nan=True)}


def int8_on_cpu(model: ov.Model, properties: Mapping[str, str]) -> dict[str, int | None]:
    """PER_TOKEN for each MatMul outside of bodies that runs as a product of int8 by int8, None for the others."""
    runtime = ov.Core().compile_model(model, "CPU", dict(properties)).get_runtime_model()
    found: dict[str, int | None] = {}
    for node in runtime.get_ordered_ops():
        info = {key: str(getattr(value, "value", value)) for key, value in node.get_rt_info().items()}
        if info["layerType"] not in ("FullyConnected", "MatMul"):
            continue
        int8 = node.input_value(0).get_element_type() == ov.Type.i8 and info["primitiveType"].endswith("_i8")
        names = [without_lowering(name) for name in info["originalLayersNames"].split(",")]
        found.update(dict.fromkeys(names, PER_TOKEN if int8 else None))
    return found


def _cut_out(sites: Sequence[CompressedMatMul]) -> ov.Model:
    """A model of nothing but these MatMuls, each from an input to an output of its name."""
    parameters, results = [], []
    for site in sites:
        x = op.parameter(_activation_shape(site), np.float32)
        x.set_friendly_name(site.name)
        attributes = site.matmul.get_attributes()
        data = _static_quantizer(site, x)
        data = data if site.compute_type == "f32" else op.convert(x, site.compute_type)
        settle_shapes(site.matmul.input_value(site.weights_input))
        inputs = [data, site.matmul.input_value(1)] if site.weights_input else [site.matmul.input_value(0), data]
        copy = op.matmul(*inputs, attributes["transpose_a"], attributes["transpose_b"])
        # The plugin treats a MatMul that a Result reads in its own ways.
        end = op.relu(_continued(site, copy))
        end.output(0).set_names({site.name})
        parameters.append(x)
        results.append(end)
    return ov.Model(results, parameters)


def _continued(site: CompressedMatMul, product: ov.Node) -> ov.Node:
    """The product with the model's factors, which the plugin can fold into the weights, and with biases near zero."""
    for step in constant_arithmetic(site.graph, site.index) if site.weights_input else ():
        shape = () if step.constant is None else site.graph.shape(step.constant) or ()
        if step.kind in _BIASES:
            # The model's own could drown the product, and be for another number of tokens.
            bias = np.full([*(1 for _ in shape[:-1]), *shape[-1:]], _NEAR_ZERO, np.float32)
            product = op.add(product, op.convert(op.constant(bias), site.compute_type))
        elif step.kind == "Negative":
            product = op.negative(product)
        elif all(size == 1 for size in shape[:-1]):
            product = _FACTORS[step.kind](product, _constant_input(site, step.index))
        else:
            break
    return product


def _constant_input(site: CompressedMatMul, index: int) -> ov.Output:
    """The input of an op that is constant, ready to be read by another model."""
    constant = [site.graph.constant[producer] for producer, _ in site.graph.inputs[index]]
    value = site.graph.node(index).input_value(constant.index(True))
    settle_shapes(value)
    return value


def _static_quantizer(site: CompressedMatMul, x: ov.Node) -> ov.Node:
    """The activation as the model itself quantizes it where the plugin multiplies the integers."""
    if not site.static_path:
        return x
    quantizer = site.graph.node(site.static_path[0])
    ranges = [op.constant(evaluate(value).astype(np.float32).reshape(1)) for value in quantizer.input_values()[1:]]
    return op.fake_quantize(x, *ranges, quantizer.get_attributes()["levels"])


def _activation_shape(site: CompressedMatMul) -> list[int]:
    """That of the site, but as long as the weights say and as many as there are batches of them."""
    if site.activation_rank == 1:
        return [site.k]
    shape = list(site.activation_shape or (-1, -1, -1))
    shape[_k_axis(site)] = site.k
    weights = site.matmul.input_value(site.weights_input).get_shape()
    for axis in range(3, min(len(shape), len(weights)) + 1):
        shape[-axis] = weights[-axis] if shape[-axis] == -1 else shape[-axis]
    return shape


def _k_axis(site: CompressedMatMul) -> int:
    return -2 if site.transposed_activation else -1


def _inputs(cut: ov.Model) -> Inputs:
    """Random activations, by site."""
    rng = np.random.default_rng(0)
    inputs = {}
    for port in cut.inputs:
        dynamic = [axis for axis, dim in enumerate(port.get_partial_shape()) if dim.is_dynamic]
        shape = [1 if dim.is_dynamic else dim.get_length() for dim in port.get_partial_shape()]
        if dynamic:
            shape[dynamic[-1]] = _TOKENS
        inputs[port.get_node().get_friendly_name()] = rng.standard_normal(shape).astype(np.float32)
    return inputs


def _outputs(compiled: ov.CompiledModel, inputs: Inputs) -> Outputs:
    answers = compiled(list(inputs.values()))
    return {port.get_any_name(): np.array(answers[port]) for port in compiled.outputs}


def _all_quantized(sites: Sequence[CompressedMatMul], inputs: Inputs, groups: Mapping[str, int]) -> Inputs:
    """The inputs with the activations of the sites in `groups` quantized."""
    return inputs | {
        site.name: dequantized(inputs[site.name], groups[site.name], axis=_k_axis(site))
        for site in sites
        if site.name in groups
    }


def _close(actual: npt.NDArray[Any], expected: npt.NDArray[Any]) -> bool:
    return bool(np.linalg.norm(actual - expected) <= _TOLERANCE * np.linalg.norm(expected))
