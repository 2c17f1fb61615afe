"""ONNX to IR: what is recorded, and files that cannot be converted."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

from ovpass.asked import read_asked
from ovpass.convert.onnx_file import convert_onnx
from ovpass.errors import ModelError
from ovpass.ir.files import IrFile
from tests.onnx.models import FUSED, LEVEL4, QDQ, Convert, converted, feeds, path_of, read
from tests.passes.helpers import outputs, same


def recorded(xml: Path) -> set[tuple[tuple[str, object], ...]]:
    """All different entries."""
    return {tuple(entry.items()) for entry in read_asked(IrFile(xml).document().metadata).values()}


def test_what_the_file_asked_for_is_recorded(ir: Convert) -> None:
    assert recorded(ir("dynamic_qint8")) == {(("op", "MatMulInteger"),)}
    assert recorded(ir(FUSED)) == {(("op", "MatMulIntegerToFloat"),), (("op", "DynamicQuantizeMatMul"),)}
    assert recorded(ir(LEVEL4)) == {
        (("op", "MatMulNBits"), ("bits", 4), ("block_size", 32), ("accuracy_level", 4)),
    }
    assert recorded(ir(QDQ)) == {(("op", "DequantizeLinear"), ("block_size", 32))}


def test_it_is_recorded_for_every_site_by_a_name_that_stays(ir: Convert, tmp_path: Path) -> None:
    again = converted(path_of(FUSED), tmp_path / "again")
    names = set(read_asked(IrFile(ir(FUSED)).document().metadata))
    assert names == set(read_asked(IrFile(again).document().metadata))
    assert len(names) == 12


def test_without_the_onnx_package_the_model_is_the_same(
    ir: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    said: list[str] = []
    convert_onnx(path_of(LEVEL4), tmp_path, said.append)
    assert any("ovpass[onnx]" in line for line in said)
    assert not read_asked(IrFile(tmp_path / "openvino_model.xml").document().metadata)
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
