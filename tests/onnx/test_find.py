"""MatMuls that ONNX Runtime quantized are found, in a model and in the text of its IR alike."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import openvino as ov
import pytest

from ovpass.ir.files import IrFile
from ovpass.planning.plan import describe_weights
from ovpass.sites import CompressedMatMul, find_compressed_matmuls, find_sites
from tests.onnx.models import (
    DYNAMIC,
    FUSED,
    KINDS,
    LEVEL4,
    QDQ,
    RECIPE,
    Convert,
    path_of,
    product_of_floats,
    product_of_integers,
    read,
)

WEIGHTS = {
    "dynamic_qint8": "i8 symmetric per-channel",
    "dynamic_qint8_channel": "i8 symmetric per-channel",
    "dynamic_quint8": "u8 asymmetric per-channel",
    FUSED: "i8 symmetric per-channel",
    LEVEL4: "u4 asymmetric g32",
    QDQ: "i4 symmetric g32",
}


def as_saved(model: ov.Model, folder: Path, *, half: bool = False) -> Path:
    ov.save_model(model, folder / "model.xml", compress_to_fp16=half)
    return folder / "model.xml"


def sites_in_text(xml: Path) -> list[CompressedMatMul]:
    return find_sites(IrFile(xml).document().graph)


def kinds(sites: list[CompressedMatMul]) -> dict[str, int]:
    return dict(Counter(site.kind for site in sites))


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_site_of_a_converted_file(name: str, ir: Convert) -> None:
    sites = sites_in_text(ir(name))
    assert find_compressed_matmuls(read(ir(name))) == sites
    assert kinds(sites) == KINDS
    assert {site.layer for site in sites} == {0, 1}
    assert {describe_weights(site).rpartition(" ")[0] for site in sites} == {WEIGHTS[name]}
    assert len({site.group_id for site in sites}) == 8  # Q, K and V read one


@pytest.mark.parametrize("name", [*DYNAMIC, FUSED])
def test_as_the_frontend_leaves_them(name: str, tmp_path: Path) -> None:
    """Unlike a conversion, reading folds no constants."""
    model = read(path_of(name))
    found = find_compressed_matmuls(model)
    assert sites_in_text(as_saved(model, tmp_path)) == found
    assert kinds(found) == KINDS


def test_constants_compressed_to_half_precision(ir: Convert, tmp_path: Path) -> None:
    before = read(ir("dynamic_qint8_channel"))
    assert sites_in_text(as_saved(before, tmp_path, half=True)) == find_compressed_matmuls(before)


def test_a_zero_point_for_each_channel(float_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "channels.onnx"
    RECIPE["dynamic"](float_file, path, RECIPE["QuantType"].QUInt8, per_channel=True)
    model = read(path)
    shapes = {tuple(site.weights.zero_points[0].shape) for site in find_compressed_matmuls(model)}
    assert shapes == {(1, 64), (1, 128)}
    assert sites_in_text(as_saved(model, tmp_path)) == find_compressed_matmuls(model)


def test_the_activation_is_the_float_one(ir: Convert) -> None:
    for site in find_compressed_matmuls(read(ir("dynamic_qint8"))):
        assert site.noncanonical is not None
        assert site.activation.get_element_type() == ov.Type.f32
        assert site.activation.get_node().get_friendly_name() == site.group_id
        assert site.activation.get_node().get_type_name() not in ("Convert", "Clamp", "Subtract")


@pytest.mark.parametrize("order", ["together", "activation first", "weights first"])
@pytest.mark.parametrize("activation", ["dynamic", "static", "no zero point", "other zero point"])
def test_products_of_integers_that_compute_something_else_are_none(activation: str, order: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(product_of_integers(activation, order=order), path)
    for model in (read(path), ov.convert_model(path)):
        found = find_compressed_matmuls(model)
        assert [site.name for site in found] == (["product"] if activation == "dynamic" else [])
        assert sites_in_text(as_saved(model, tmp_path)) == found


@pytest.mark.parametrize("factor", [1, 2])
def test_floats_of_another_scale_are_an_activation_like_any_other(factor: int, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(product_of_floats(factor), path)
    for model in (read(path), ov.convert_model(path)):
        (site,) = find_compressed_matmuls(model)
        assert (site.noncanonical is not None) == (factor == 1)
        assert sites_in_text(as_saved(model, tmp_path)) == [site]


def test_weights_without_a_zero_point(tmp_path: Path) -> None:
    onnx.save(product_of_integers("dynamic"), tmp_path / "model.onnx")
    (site,) = find_compressed_matmuls(read(tmp_path / "model.onnx"))
    assert describe_weights(site) == "i8 symmetric per-channel 4x8"
