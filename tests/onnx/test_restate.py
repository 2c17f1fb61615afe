"""Dynamically quantized MatMuls written in OpenVINO's form: the same weights, and all lowerings work on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino as ov
import pytest

from ovpass import api
from ovpass.errors import ModelError, PassError, SettingsError
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.preparation import prepare_clean
from ovpass.ir.constant_folding import evaluate
from ovpass.passes import Canonicalize, Int8, PassManager
from ovpass.settings.settings import Rule
from ovpass.sites import find_compressed_matmuls
from ovpass.targets.reference_arithmetic import Array
from tests.onnx.models import (
    DYNAMIC,
    FUSED,
    LEVEL4,
    Convert,
    by_onnx_runtime,
    feeds,
    in_both_branches,
    path_of,
    product_of_integers,
    read,
)
from tests.passes.helpers import activations, compiled, distance, interface, outputs, relative, same, transformed
from tests.simulated_gpu import Job

INT8 = {"lowering": "int8", "target": "cpu"}
QUANTIZED = [*DYNAMIC, FUSED]
SAME = 1e-5
"""Sums in f32 in another order: far below any rounding of an activation to 8 bits, which is 4e-3."""


def int8(name: str, model: ov.Model) -> ov.Model:
    """u8 weights with a zero point have to be re-quantized."""
    return transformed(model, **INT8, requantize=name == "dynamic_quint8")


def canonical(model: ov.Model) -> ov.Model:
    names = tuple(site.name for site in find_compressed_matmuls(model) if site.noncanonical is not None)
    return PassManager([Canonicalize(names)]).run(model).model


def by_name(model: ov.Model) -> dict[str, ov.Node]:
    return {node.get_friendly_name(): node for node in model.get_ops()}


# The weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DYNAMIC)
def test_weights_are_the_same_numbers(name: str) -> None:
    """As ONNX says: (code - zero point) * scale, from constants that nothing has folded."""
    model = read(path_of(name))
    stored = by_name(model)
    for site in find_compressed_matmuls(canonical(model)):
        weight = site.name.replace(".product_quant", ".weight")
        code, zero, scale = (stored[f"{weight}_{part}"].data for part in ("quantized", "zero_point", "scale"))
        expected = (code.astype(np.float32) - zero.astype(np.float32)) * scale
        assert np.array_equal(evaluate(site.matmul.input_value(1)), expected)


@pytest.mark.parametrize("name", QUANTIZED)
def test_sites_stay_what_they_were(name: str, ir: Convert) -> None:
    model = read(ir(name))
    changed = canonical(model)
    assert find_compressed_matmuls(changed) == find_compressed_matmuls(model)
    assert interface(changed) == interface(model)
    left = {node.get_type_name() for node in changed.get_ops()}
    assert not {"ReduceMax", "ReduceMin", "Round"} & left


def test_one_of_three_that_share_an_activation(ir: Convert) -> None:
    model = read(ir("dynamic_qint8"))
    changed = PassManager([Canonicalize(("layer.0.k.product_quant",))]).run(model).model
    own = {site.name: site.noncanonical is None for site in find_compressed_matmuls(changed)}
    assert [name for name, done in own.items() if done] == ["layer.0.k.product_quant"]
    # one activation of eight is no longer rounded
    assert distance(outputs(changed, feeds()), outputs(model, feeds())) < 0.02


@pytest.mark.parametrize("order", ["together", "activation first", "weights first"])
def test_scales_in_any_order(order: str, tmp_path: Path) -> None:
    onnx.save(product_of_integers("dynamic", order=order), tmp_path / "model.onnx")
    model, inputs = read(tmp_path / "model.onnx"), {"x": activations(5, 8)}
    changed = canonical(model)
    assert [site.name for site in find_compressed_matmuls(changed)] == ["product"]
    assert relative(outputs(changed, inputs), outputs(model, inputs)) < 1e-2


def test_in_bodies(tmp_path: Path) -> None:
    onnx.save(in_both_branches(product_of_integers("dynamic")), tmp_path / "if.onnx")
    model = read(tmp_path / "if.onnx")
    assert [site.name for site in find_compressed_matmuls(model)] == [
        "y/then_body/then_product",
        "y/else_body/else_product",
    ]
    changed = transformed(model, **INT8)
    assert all(site.noncanonical is None for site in find_compressed_matmuls(changed))
    for condition in (True, False):
        inputs = {"condition": condition, "x": activations(5, 8)}
        # the activation alone is rounded otherwise: by half a step of 1/127 of the largest of eight
        assert relative(outputs(changed, inputs), outputs(model, inputs)) < 1e-2


def test_passes_refuse_what_is_in_the_other_form(ir: Convert) -> None:
    model = read(ir("dynamic_qint8"))
    with pytest.raises(PassError):
        PassManager([Int8(("layer.0.k.product_quant",))]).run(model)
    with pytest.raises(PassError):
        PassManager([Canonicalize(("layer.0.q.product",))]).run(read(ir(LEVEL4)))


# Numbers --------------------------------------------------------------------------------------------------------------


@pytest.mark.vnni(not_for="dynamic_quint8")
@pytest.mark.parametrize("name", DYNAMIC)
def test_openvino_computes_what_the_file_asks_for(name: str, ir: Convert, exact: list[Array]) -> None:
    asked = by_onnx_runtime(path_of(name))
    # single roundings that turn over are inputs of the next layer
    assert distance(outputs(read(ir(name)), feeds()), asked) < 0.25 * distance(asked, exact)


@pytest.mark.vnni(not_for=r"dynamic_qint8\]")
@pytest.mark.parametrize("name", QUANTIZED)
def test_int8_stays_within_the_error_of_the_quantization_asked_for(name: str, ir: Convert, exact: list[Array]) -> None:
    model = read(ir(name))
    asked = distance(by_onnx_runtime(path_of(name)), exact)
    found = distance(outputs(int8(name, model), feeds()), exact)
    # One scale a token is finer than one for the tensor, without a zero point it is coarser; both round once.
    assert 0 < found < 1.3 * asked


@pytest.mark.vnni
@pytest.mark.slow
@pytest.mark.parametrize("name", QUANTIZED)
def test_native_does_what_its_emulation_does(name: str, ir: Convert) -> None:
    model = read(ir(name))
    native = outputs(transformed(model, target="cpu", group_size=32), feeds())
    emulated = outputs(transformed(model, lowering="emulate", target="cpu", group_size=32), feeds())
    exempt = outputs(transformed(model, Rule("re:.*", exempt=True), target="cpu"), feeds())
    # roundings that turn over in one layer are inputs of the next
    assert distance(native, emulated) < 0.25 * distance(emulated, exempt)


@pytest.mark.parametrize("name", QUANTIZED)
def test_exempt_sites_quantize_nothing(name: str, ir: Convert) -> None:
    model = read(ir(name))
    plain = outputs(transformed(model, Rule("re:.*", exempt=True), target="cpu"), feeds())
    assert relative(plain, outputs(canonical(model), feeds(), 0)) < SAME


@pytest.mark.vnni
def test_accuracy_level_4_is_what_native_quantization_in_the_same_blocks_does(ir: Convert) -> None:
    model, asked = read(ir(LEVEL4)), by_onnx_runtime(path_of(LEVEL4))
    native = distance(outputs(model, feeds(), 32), asked)
    ignored = distance(outputs(model, feeds(), 0), asked)
    assert native < 0.25 * ignored


def test_skipped_sites_keep_what_the_file_has(ir: Convert) -> None:
    model = read(ir("dynamic_qint8"))
    skipped = transformed(model, target="cpu", group_size=128)  # only K=128 takes groups of 128
    noncanonical = [site.name for site in find_compressed_matmuls(skipped) if site.noncanonical is not None]
    assert len(noncanonical) == 10
    assert not any("down" in name for name in noncanonical)


# Plugins --------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", QUANTIZED)
def test_products_run_in_int8_on_the_cpu(name: str, ir: Convert) -> None:
    model = read(ir(name))
    assert products(model) == [False] * 12
    assert products(int8(name, model)) == [True] * 12


def products(model: ov.Model) -> list[bool]:
    """For each FullyConnected on the CPU plugin, whether its activation and its kernel are int8."""
    found = []
    for node in compiled(model, 0).get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        if info["layerType"].astype(str) == "FullyConnected":
            kind = node.input_value(0).get_element_type()
            found.append(kind == ov.Type.i8 and info["primitiveType"].astype(str).endswith("_i8"))
    return found


def test_unsigned_weights_are_refused_unless_they_may_be_requantized(ir: Convert) -> None:
    with pytest.raises(SettingsError, match="requantize"):
        transformed(read(ir("dynamic_quint8")), **INT8)


def test_the_gpu_quantizes_what_is_restated_and_nothing_else(ir: Convert, simulated_gpu: Any) -> None:
    as_it_is, zero_points = read(ir("dynamic_qint8")), transformed(read(ir("dynamic_quint8")))
    for seen, expected in zip(simulated_gpu([Job(as_it_is), Job(zero_points)]), [0, 8], strict=True):
        assert (seen.error, seen.quantizers) == (None, expected)


# Undoing --------------------------------------------------------------------------------------------------------------


def test_strip_refuses_what_it_cannot_undo(ir: Convert) -> None:
    model = read(ir("dynamic_qint8"))
    with pytest.raises(ModelError, match="original"):
        api.strip(transformed(model, **INT8))


def test_models_without_any_are_not_touched(ir: Convert) -> None:
    model = read(ir(LEVEL4))
    assert same(outputs(api.strip(transformed(model, group_size=32)), feeds()), outputs(model, feeds()))


def test_what_others_are_compared_with_quantizes_nothing(ir: Convert) -> None:
    source = ir("dynamic_qint8")
    reference = prepare_clean(Candidate(str(source), source))
    assert reference is not None
    sites = find_compressed_matmuls(reference.model)
    assert [site.name for site in sites] == [
        site.name for site in find_compressed_matmuls(ov.Core().read_model(source))
    ]
    assert all(site.noncanonical is None for site in sites)
