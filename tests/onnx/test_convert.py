"""ONNX to IR: what is recorded, and files that cannot be converted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest

from ovpass.conversion.convert import convert_source
from ovpass.conversion.onnx_file import convert_onnx
from ovpass.errors import ModelError
from ovpass.ir.constant_folding import evaluate
from ovpass.ir.files import IrFile
from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.sites import find_compressed_matmuls
from ovpass.sites.source_attributes import read_source_attributes
from ovpass.verification.cpu import found_on_cpu
from tests.onnx.models import (
    FUSED,
    LEVEL4,
    QDQ,
    Convert,
    converted,
    feeds,
    grouped_query_attention,
    in_both_branches,
    path_of,
    product_of_blocks,
    product_of_dequantized,
    product_of_integers,
    read,
)
from tests.passes.helpers import activations, outputs, relative, same, transformed


def recorded(xml: Path) -> set[tuple[tuple[str, object], ...]]:
    """All different entries."""
    return {tuple(entry.items()) for entry in read_source_attributes(IrFile(xml).document().metadata).values()}


def test_what_the_file_asked_for_is_recorded(ir: Convert) -> None:
    assert recorded(ir("dynamic_qint8")) == {(("op", "MatMulInteger"),)}
    assert recorded(ir(FUSED)) == {(("op", "MatMulIntegerToFloat"),), (("op", "DynamicQuantizeMatMul"),)}
    assert recorded(ir(LEVEL4)) == {
        (("op", "MatMulNBits"), ("bits", 4), ("block_size", 32), ("accuracy_level", 4)),
    }
    assert recorded(ir(QDQ)) == {(("op", "DequantizeLinear"), ("block_size", 32))}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (product_of_blocks(), "y"),
        (product_of_blocks(bias=True), "y/MatMul"),
        (product_of_dequantized("MatMul", transposed=True), "product"),
        (product_of_dequantized("Gemm"), "product/WithoutBiases"),
    ],
)
def test_it_is_recorded_wherever_the_product_ends_up(model: onnx.ModelProto, name: str, tmp_path: Path) -> None:
    (op_type,) = {node.op_type for node in model.graph.node} & {"MatMulNBits", "DequantizeLinear"}
    for tag, whole in (("plain", model), ("if", in_both_branches(model))):
        xml = converted(whole, tmp_path / tag)
        asked = read_source_attributes(IrFile(xml).document().metadata)
        assert set(asked) == {site.name for site in find_compressed_matmuls(read(xml))}
        assert {entry["op"] for entry in asked.values()} == {op_type}
        if whole is model:
            assert set(asked) == {name}


def test_it_is_recorded_for_every_site_by_a_name_that_stays(ir: Convert, tmp_path: Path) -> None:
    again = converted(path_of(FUSED), tmp_path / "again")
    names = set(read_source_attributes(IrFile(ir(FUSED)).document().metadata))
    assert names == set(read_source_attributes(IrFile(again).document().metadata))
    assert len(names) == 12


def test_without_the_onnx_package_the_model_is_the_same(
    ir: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    notes = convert_onnx(path_of(LEVEL4), tmp_path, lambda _: None)
    assert any("ovpass[onnx]" in note for note in notes)
    assert not read_source_attributes(IrFile(tmp_path / "openvino_model.xml").document().metadata)
    assert same(outputs(read(tmp_path / "openvino_model.xml"), feeds()), outputs(read(ir(LEVEL4)), feeds()))


def with_external_data(folder: Path) -> Path:
    """A file whose weights lie beside it, in weights.data."""
    folder.mkdir()
    model = onnx.load(path_of("dynamic_qint8"))
    onnx.save_model(
        model, folder / "model.onnx", save_as_external_data=True, location="weights.data", size_threshold=512
    )
    return folder / "model.onnx"


def test_external_data_is_read(ir: Convert, tmp_path: Path) -> None:
    xml = converted(with_external_data(tmp_path / "in"), tmp_path / "out")
    assert same(outputs(read(xml), feeds()), outputs(read(ir("dynamic_qint8")), feeds()))


def refused(source: Path, folder: Path) -> str:
    with pytest.raises(ModelError) as error:
        convert_onnx(source, folder, lambda _: None)
    assert not list(folder.glob("openvino_model.*"))
    assert str(source) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("left", [0, 1000])
def test_external_data_that_is_missing_or_cut_short_is_named(left: int, tmp_path: Path) -> None:
    source = with_external_data(tmp_path / "in")
    data = source.with_name("weights.data")
    data.write_bytes(data.read_bytes()[:left])
    if not left:
        data.unlink()
    assert "weights.data" in refused(source, tmp_path)


def test_files_that_are_no_onnx(tmp_path: Path) -> None:
    whole = path_of("dynamic_qint8").read_bytes()
    for name, content in (("empty", b""), ("text", b"hello, world"), ("half", whole[: len(whole) // 2])):
        source = tmp_path / f"{name}.onnx"
        source.write_bytes(content)
        refused(source, tmp_path)
    refused(tmp_path / "missing.onnx", tmp_path)


def test_an_unknown_operation_is_named(tmp_path: Path) -> None:
    model = onnx.load(path_of("dynamic_qint8"))
    model.graph.node[10].op_type, model.graph.node[10].domain = "Frobnicate", "com.example"
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    onnx.save(model, tmp_path / "unknown.onnx")
    assert "com.example.Frobnicate" in refused(tmp_path / "unknown.onnx", tmp_path)


def test_requests_without_a_site_are_told(tmp_path: Path) -> None:
    onnx.save(product_of_integers("no zero point"), tmp_path / "model.onnx")
    (note,) = convert_onnx(tmp_path / "model.onnx", tmp_path, lambda _: None)
    assert "1 of 1" in note
    assert "product" in note


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["x", "branch"])
def test_blocks_do_not_hang_on_the_activation(activation: str, tmp_path: Path) -> None:
    """The frontend takes the shape of the weights from an activation that is an input of its graph."""
    model = product_of_blocks()
    xml = converted(model if activation == "x" else in_both_branches(model), tmp_path)
    sites = find_compressed_matmuls(read(xml))
    assert sites
    for site in sites:
        assert "ShapeOf" not in site.graph.types


@pytest.mark.vnni
def test_models_that_others_converted_can_hang_on_it(tmp_path: Path) -> None:
    onnx.save(product_of_blocks(), tmp_path / "model.onnx")
    model, inputs = ov.convert_model(tmp_path / "model.onnx"), {"x": activations(5, 64)}
    exact = outputs(model, inputs)
    changed = transformed(model, lowering="int8", target="cpu", requantize=True)
    assert 0 < relative(outputs(changed, inputs), exact) < 0.02
    (site,) = find_compressed_matmuls(model)
    properties = {"INFERENCE_PRECISION_HINT": "f32", GROUP_SIZE: "32"}
    assert found_on_cpu([site], properties, {}) == {site.name: 32}


@pytest.mark.vnni
def test_blocks_named_one_by_one_are_blocks(tmp_path: Path) -> None:
    """OpenVINO's own conversion ends the process on a CPU."""
    plain, named = (
        find_compressed_matmuls(read(converted(product_of_blocks(order), tmp_path / tag)))
        for tag, order in (("plain", ()), ("named", [k // 32 for k in range(64)]))
    )
    assert plain == named
    numbers = [evaluate(site.matmul.input_value(1)) for site in (*plain, *named)]
    assert np.array_equal(numbers[0], numbers[1])
    assert found_on_cpu(named, {"INFERENCE_PRECISION_HINT": "f32", GROUP_SIZE: "32"}, {}) == {"y": 32}


def test_blocks_of_no_neighbours_are_refused(tmp_path: Path) -> None:
    onnx.save(product_of_blocks([k % 2 for k in range(64)]), tmp_path / "model.onnx")
    assert "g_idx" in refused(tmp_path / "model.onnx", tmp_path / "out")


def test_what_no_ir_can_hold_is_refused(tmp_path: Path) -> None:
    onnx.save(grouped_query_attention(), tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="GroupQueryAttention"):
        convert_source(tmp_path / "model.onnx", tmp_path / "out")
    assert not (tmp_path / "out").exists()
