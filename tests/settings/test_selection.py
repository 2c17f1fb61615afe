"""The grammar that picks sites."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovpass.errors import SettingsError
from ovpass.ir.files import IrFile
from ovpass.settings.selection import Selector, select
from ovpass.sites import KINDS, CompressedMatMul, find_compressed_matmuls, find_sites
from tests.builders import linear_model, llama_model

XML = Path(__file__).resolve().parents[2] / "models/tiny-llama-int4/openvino_model.xml"
HEAD = "__module.lm_head/aten::linear/MatMul"


@pytest.fixture(scope="module")
def sites() -> list[CompressedMatMul]:
    """Seven in each of two blocks, and the lm_head."""
    return find_sites(IrFile(XML).document().graph)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        (HEAD, 1),
        ("re:.*", 15),
        (r"re:.*mlp\.(gate|up)_proj.*", 4),
        (f"re:{HEAD}", 1),
        ("kind:attn.q", 2),
        ("kind:attn", 8),
        ("kind:mlp", 6),
        ("kind:mlp.down", 2),
        ("kind:lm_head", 1),
        ("layer:0", 7),
        ("layer:1-1", 7),
        ("layer:0-1", 14),
        ("layer:1-99", 7),
        ("layer:-1", 7),
        ("layer:-2--1", 14),
        ("layer:0--1", 14),
        ("layer:0-99999999999999999999", 14),
        ("layer:-99-0", 7),
        ("kind:mlp.down+layer:1", 1),
        ("layer:1+kind:attn", 4),
        ("kind:attn+layer:0-1", 8),
    ],
)
def test_what_is_picked(sites: list[CompressedMatMul], pattern: str, count: int) -> None:
    assert len(select(sites, pattern)) == count


def test_what_is_picked_keeps_its_order(sites: list[CompressedMatMul]) -> None:
    assert select(sites, "re:.*") == sites


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_named(kind: str) -> None:
    Selector(f"kind:{kind}")
    Selector(f"kind:{kind.partition('.')[0]}")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (HEAD[:-1], [HEAD]),
        (HEAD.upper(), []),
        (f"re:{HEAD[:-3]}", [HEAD]),
        ("re:lm_head", ["lm_head", "re:.*lm_head.* (1 site)"]),
        ("lm_head", ["kind:lm_head", "re:.*lm_head.* (1 site)", HEAD]),
        ("LM_head", ["kind:lm_head", HEAD]),
        ("attn", ["kind:attn"]),
        ("o_proj", ["re:.*o_proj.* (2 sites)", "layers.0.self_attn.o_proj", "layers.1.self_attn.o_proj"]),
        ("kind:other", ["kind:mlp.down", "kind:lm_head"]),
        ("layer:2", ["layer:0-1"]),
        ("layer:5-3", ["layer:0-1"]),
        ("layer:-3", ["layer:0-1"]),
        ("kind:lm_head+layer:0", []),
        ("nothing like it", ["layer:0-1"]),
    ],
)
def test_what_picks_nothing_is_told_what_there_is(
    sites: list[CompressedMatMul], pattern: str, words: list[str]
) -> None:
    with pytest.raises(SettingsError) as error:
        select(sites, pattern)
    assert repr(pattern) in str(error.value)
    assert all(word in str(error.value) for word in words)


def test_the_expression_that_is_offered_picks_what_it_says(sites: list[CompressedMatMul]) -> None:
    for text in ("o_proj", "O_PROJ", "re:o_proj", "aten::linear"):
        with pytest.raises(SettingsError) as error:
            select(sites, text)
        offered = str(error.value).partition("; there are ")[2].partition(" (")[0]
        assert {site.name for site in select(sites, offered)} == {s.name for s in sites if text[-6:].lower() in s.name}


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", []),
        ("re:(", ["re:("]),
        ("re:[a-", []),
        ("kind:mlp.dwn", ["mlp.down"]),
        ("kind:", ["attn.q"]),
        ("layer:", ["layer:3"]),
        ("layer:--1", ["layer:3"]),
        ("layer:x", ["layer:3"]),
        ("layer:1,2", ["layer:0-5"]),
        ("layer:1-", ["layer:0-5"]),
        ("kind:attn+MatMul_3", ["+"]),
        ("kind:attn+re:.*", ["+"]),
        ("layer:1+kind:", ["attn.q"]),
        ("layer:1+", ["+"]),
    ],
)
def test_what_cannot_be_read(pattern: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        Selector(pattern)
    assert all(word in str(error.value) for word in words)


def test_bare_names_and_no_blocks() -> None:
    bare = find_compressed_matmuls(llama_model(bare_names=True))
    assert len(select(bare, "layer:1+kind:mlp")) == 3
    assert [site.name for site in select(bare, bare[0].name)] == [bare[0].name]
    with pytest.raises(SettingsError, match="linear"):
        select(find_compressed_matmuls(linear_model()), "layer:0")
    with pytest.raises(SettingsError):
        select([], "re:.*")
