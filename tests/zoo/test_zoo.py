"""Real exports: everything that NNCF compressed is found, changed, and put back as it was."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import ovpass
from ovpass.ir.files import open_source
from ovpass.planning.plan import QUANTIZE
from ovpass.sites import CompressedMatMul
from ovpass.transformation.loading import load
from tests.passes.helpers import distance, structure
from tests.zoo.exports import NAMES, ZOO, Export, core, exports, results, truth

TYPES = {"int4_sym": "i4", "int4_asym": "u4", "int8_sym": "i8", "int8_asym": "u8", "nf4": "nf4"}
EXPERTS = ("mixtral", "qwen3-moe", "qwen3-next")
LINEAR_ATTENTION = ("qwen3-next",)
EACH = pytest.mark.parametrize("export", exports(), ids=lambda export: export.key)


def mode(site: CompressedMatMul) -> str:
    """As NNCF would call the site's weights; -1 is one group a channel."""
    kind = next(name for name, element in TYPES.items() if element == site.weight_type)
    return f"{kind} {site.weight_group_size or -1}"


def test_every_format_is_there() -> None:
    modes = {mode for export in exports() for mode in export.matmuls.values()}
    assert modes >= {f"int4_{kind} {group}" for kind in ("sym", "asym") for group in (32, 64)}
    assert modes >= {"int8_sym -1", "int8_asym -1", "int4_sym -1", "nf4 32"}


def test_nothing_is_large() -> None:
    """The zoo is part of the repository."""
    assert sum(path.stat().st_size for path in ZOO.rglob("*") if path.is_file()) < 12_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_record_agrees_with_itself(name: str) -> None:
    for model in truth(name)["models"].values():
        assert Counter(f"{w['mode']} {w['group_size']}" for w in model["weights"].values()) == model["modes"]


@EACH
def test_every_compressed_matmul_is_found(export: Export) -> None:
    """By the reader of nodes and by the reader of text, with the format that NNCF chose; and no other."""
    sites = ovpass.find_compressed_matmuls(core().read_model(export.path))
    assert {site.name for site in sites} == set(export.matmuls)
    for site in sites:
        # One group that is all of K is told as one a channel.
        assert mode(site) == export.matmuls[site.name].replace(f" {site.k}", " -1")
        assert site.symmetric == ("asym" not in export.matmuls[site.name])
    as_text = {loaded.ir.xml: loaded.sites for loaded in load(open_source(ZOO / export.name))}
    assert list(as_text[export.path]) == sites


def test_weights_that_feed_no_matmul_are_no_sites() -> None:
    """Models of embeddings alone are left out."""
    for name in ("llava", "qwen2-vl"):
        assert "openvino_text_embeddings_model.xml" in truth(name)["models"]
        assert all("text_embeddings" not in loaded.key for loaded in load(open_source(ZOO / name)))


def site_roles(folder: Path) -> dict[tuple[str, str], tuple[str, int | None]]:
    models = load(open_source(folder))
    return {(loaded.key, site.name): (site.kind, site.layer) for loaded in models for site in loaded.sites}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_apply_and_strip(name: str, tmp_path: Path) -> None:
    """Native changes no node; emulate changes values by the rounding of 8 bits; strip undoes both."""
    emulated = ovpass.Settings(lowering="emulate", group_size=32, threshold=0)
    changed = ovpass.transform(ZOO / name, tmp_path / "emulate", emulated)
    ovpass.transform(ZOO / name, tmp_path / "native", ovpass.Settings(group_size=32), allow_crash=True)
    for lowering in ("native", "emulate"):
        ovpass.strip_source(tmp_path / lowering, tmp_path / f"no-{lowering}")
    own = [export for export in exports() if export.name == name]
    assert changed.counts[QUANTIZE] == sum(len(export.matmuls) for export in own)
    roles = [site_roles(path) for path in (ZOO / name, tmp_path / "emulate")]
    assert roles[0] == roles[1]
    for export in own:
        original = structure(core().read_model(export.path))
        for variant in ("native", "no-native", "no-emulate"):
            assert structure(core().read_model(tmp_path / variant / export.place)) == original
            weights = (tmp_path / variant / export.place).with_suffix(".bin")
            assert weights.read_bytes() == export.path.with_suffix(".bin").read_bytes()
        expected, actual = (results(path / export.place) for path in (ZOO / name, tmp_path / "emulate"))
        # Some outputs are of layers before the first site. Groups of 32 normal values are each off by 1 % at most,
        # which a few blocks add up to no more than a few times that.
        assert 0 < distance(actual, expected) < 0.05


@EACH
def test_experts_and_linear_attention_are_told_by_their_structure(export: Export) -> None:
    sites = ovpass.find_compressed_matmuls(core().read_model(export.path))
    experts = {name for name in export.matmuls if "aten::bmm/" in name} if export.name in EXPERTS else set()
    assert {site.name for site in sites if site.of_experts} == experts
    assert {site.linear_attention for site in sites} == {export.name in LINEAR_ATTENTION}
