"""The text of an IR tells the same as the model that OpenVINO reads from it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.errors import ModelError
from ovpass.ir.constants import ConstantTable
from ovpass.ir.files import IrFile
from ovpass.ir.metadata import IrMetadata, Metadata, ModelMetadata
from ovpass.ir.runtime_options import as_group_size, read_group_size, write_option
from ovpass.settings.settings import Settings
from ovpass.sites import find_compressed_matmuls, find_sites
from ovpass.sites.inserted_ops import bypasses
from ovpass.transformation.transform import transform
from tests.builders import if_model, linear_model, llama_model, loop_model, number_nodes, tensor_iterator_model
from tests.ir.files import saved
from tests.passes.helpers import structure

MODELS = Path(__file__).resolve().parents[2] / "models"


# Tokenizers need an extension to be read.
IRS = sorted(path for path in MODELS.rglob("*.xml") if "tokenizer" not in path.name)


@pytest.mark.parametrize("xml", IRS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_sites_of_the_text_are_those_of_the_model(xml: Path) -> None:
    assert find_sites(IrFile(xml).document().graph) == find_compressed_matmuls(IrFile(xml).read())


@pytest.mark.parametrize("build", [if_model, loop_model, tensor_iterator_model])
def test_sites_in_bodies(tmp_path: Path, build: type) -> None:
    ir = IrFile(saved(number_nodes(build()), tmp_path))
    found = find_sites(ir.document().graph)
    assert found == find_compressed_matmuls(ir.read())
    assert found


def both(folder: Path) -> list[Metadata]:
    ir = IrFile(saved(linear_model(), folder))
    return [ModelMetadata(ir.read()), ir.document().metadata]


def test_metadata_are_alike(tmp_path: Path) -> None:
    for metadata in both(tmp_path):
        assert metadata.get("runtime_options", "A") is None
        metadata.set("runtime_options", "A", "1")
        metadata.set("runtime_options", "B", '<&">\n2')
        metadata.set("runtime_options", "A", "3")
        assert [metadata.get("runtime_options", name) for name in "AB"] == ["3", '<&">\n2']
        metadata.remove("runtime_options", "A")
        assert [metadata.get("runtime_options", name) for name in "AB"] == [None, '<&">\n2']
        metadata.remove("runtime_options", "B")
        assert metadata.get("runtime_options", "B") is None


def test_metadata_written_as_text_are_read_by_openvino(tmp_path: Path) -> None:
    ir = IrFile(saved(linear_model(), tmp_path))
    document = ir.document()
    assert isinstance(document.metadata, IrMetadata)
    document.metadata.set("ovpass", "note", '{"a": "<b> & \'c\'"}')
    other = tmp_path / "other.xml"
    document.write(other)
    shutil.copy(ir.bin, other.with_suffix(".bin"))
    assert ModelMetadata(IrFile(other).read()).get("ovpass", "note") == '{"a": "<b> & \'c\'"}'


def test_the_text_changes_in_its_metadata_only(tmp_path: Path) -> None:
    ir = IrFile(saved(linear_model(), tmp_path))
    before = ir.xml.read_text()
    document = ir.document()
    document.metadata.set("ovpass", "note", "x")
    head = before[: before.rindex("</edges>")]
    document.write(tmp_path / "with.xml")
    assert (tmp_path / "with.xml").read_text().startswith(head)
    document.metadata.remove("ovpass", "note")
    document.write(tmp_path / "without.xml")
    assert "ovpass" not in (tmp_path / "without.xml").read_text()


@pytest.mark.parametrize(
    "text", ["128", " 128 ", "032", "+5", "-1", "12abc", "", "1e3", str(2**64 - 1), "per-token", "abc", str(2**64)]
)
def test_a_group_size_is_read_as_openvino_reads_it(text: str) -> None:
    name = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
    model = linear_model()
    write_option(ModelMetadata(model), name, text)
    try:
        real = ov.Core().compile_model(model, "CPU").get_property(name)
    except RuntimeError:
        real = None
    assert as_group_size(text) == real
    assert read_group_size(ModelMetadata(model)) == real


def test_a_layer_without_what_is_asked_of_it_is_named(tmp_path: Path) -> None:
    ir = IrFile(saved(linear_model(), tmp_path))
    ir.xml.write_text(re.sub(' precision="[^"]*"', "", ir.xml.read_text()))
    graph = ir.document().graph
    matmul = graph.types.index("MatMul")
    with pytest.raises(ModelError) as refused:
        graph.element_type(matmul)
    assert str(ir.xml) in str(refused.value)
    assert graph.name(matmul) in str(refused.value)


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_small_constants_are_read_from_the_weights(tmp_path: Path, kind: type[np.generic]) -> None:
    x = op.parameter([2, 6], np.float32)
    model = ov.Model([op.reshape(x, op.constant(np.array([3, -1], kind)), special_zero=False)], [x])
    graph = IrFile(saved(model, tmp_path)).document().graph
    assert graph.integers(graph.types.index("Constant")) == [3, -1]


@pytest.mark.parametrize("piece", [1, 7, 300])
def test_pieces_end_anywhere(piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers, edges and bodies are the same however little of the text is read at once."""
    xml = saved(if_model(), tmp_path)
    whole = IrFile(xml).document()
    slots = vars(ConstantTable(xml, xml.with_suffix(".bin")))["_by_name"]
    monkeypatch.setattr("ovpass.ir.net._PIECE", piece)
    monkeypatch.setattr("ovpass.ir.constants._PIECE", piece)
    again = IrFile(xml).document()
    assert (again.graph.types, again.graph.inputs) == (whole.graph.types, whole.graph.inputs)
    assert [site.name for site in find_sites(again.graph)] == [site.name for site in find_sites(whole.graph)]
    assert vars(ConstantTable(xml, xml.with_suffix(".bin")))["_by_name"] == slots


def test_an_ir_is_written_without_what_was_inserted(tmp_path: Path) -> None:
    """Quantizers apart, an emulated IR is the one that it was made from."""
    source = saved(llama_model(), tmp_path)
    transform(source, tmp_path / "emulated.xml", Settings(lowering="emulate", group_size=32))
    emulated = IrFile(tmp_path / "emulated.xml")
    document = emulated.document()
    inserted, instead = bypasses(document.graph)
    assert len(inserted) > document.ops / 2
    document.write_without(tmp_path / "reduced.xml", inserted, instead)
    assert structure(emulated.read(tmp_path / "reduced.xml")) == structure(IrFile(source).read())
