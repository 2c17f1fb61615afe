"""Every command names M-ANT weights, and leaves them as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovpass.compression.compress import compress_source
from ovpass.compression.recipe import Recipe
from tests.cli.command import CommandLine, contents
from tests.compression.conftest import float_llama

SITES, HEAD = 7, 1
FORMAT = "mant u4"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return float_llama(tmp_path_factory.mktemp("float") / "llama")


@pytest.fixture(scope="module")
def model(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that no test changes."""
    folder = tmp_path_factory.mktemp("mant4") / "m"
    return compress_source(source, folder, Recipe("mant4", group_size=32)).output


def test_compress(ovpass: CommandLine, source: Path, model: Path, tmp_path: Path) -> None:
    options = ("--mode", "mant4", "--group-size", 32, "--json")
    made = ovpass.succeed("compress", source, "-o", tmp_path / "m", *options).json
    formats = {entry["kind"]: entry["weights"] for entry in made["models"][0]["formats"]}
    assert formats["attn.q"].startswith("mant u4 symmetric g32")
    first, second = (folder / "openvino_model.bin" for folder in (model, tmp_path / "m"))
    assert first.read_bytes() == second.read_bytes()


def test_commands_that_look(ovpass: CommandLine, model: Path, tmp_path: Path) -> None:
    assert FORMAT in ovpass.succeed("inspect", model).out
    planned = ovpass.succeed("plan", model, "--target", "gpu-xmx", "--json").json
    skipped = [decision for decision in planned["decisions"] if decision["action"] == "skip"]
    assert len(skipped) == SITES
    assert all("mant weights are decompressed" in decision["reason"] for decision in skipped)
    assert "mant weights" in ovpass.succeed("explain", model).out
    ovpass.succeed("report", model, "--run", "inspect,plan", "-o", tmp_path / "report.html")
    assert FORMAT in (tmp_path / "report.html").read_text(encoding="utf-8")


@pytest.mark.vnni
def test_apply_verify_and_strip(ovpass: CommandLine, model: Path, tmp_path: Path) -> None:
    """The CPU plugin quantizes the head alone, as the plan says."""
    before = contents(model)
    ovpass.succeed("apply", model, "-o", tmp_path / "native", "--target", "cpu", "--group-size", 32)
    verified = ovpass.succeed("verify", tmp_path / "native", "--device", "CPU", "--json").json
    assert verified["ok"]
    assert sum(site["found"] == "not quantized" for site in verified["sites"]) == SITES
    ovpass.succeed("apply", model, "-o", tmp_path / "emulated", "--lowering", "emulate", "--group-size", 32)
    ovpass.succeed("strip", tmp_path / "emulated", "-o", tmp_path / "back")
    assert contents(model) == before
    stripped = contents(tmp_path / "back")
    assert stripped["openvino_model.bin"] == before["openvino_model.bin"]
    sites = [ovpass.succeed("inspect", folder, "--json").json["sites"] for folder in (model, tmp_path / "back")]
    assert sites[0] == sites[1]


@pytest.mark.vnni
def test_expanded_weights_are_an_ordinary_model(ovpass: CommandLine, model: Path, tmp_path: Path) -> None:
    """A plugin quantizes their activations, which it does not for M-ANT weights."""
    found = ovpass.succeed("expand", model, "-o", tmp_path / "e", "--json").json
    (entry,) = found["models"]
    assert entry["sites"] == SITES
    assert 0 < entry["error"] < 0.01
    stored = {site["weight_type"] for site in ovpass.succeed("inspect", tmp_path / "e", "--json").json["sites"]}
    assert stored == {"i8", "u8"}, "the head has 8 bits already"
    ovpass.succeed("apply", tmp_path / "e", "-o", tmp_path / "out", "--target", "cpu", "--group-size", 32)
    verified = ovpass.succeed("verify", tmp_path / "out", "--device", "CPU", "--json").json
    assert {site["found"] for site in verified["sites"]} == {32}


def test_nothing_to_expand(ovpass: CommandLine, source: Path, model: Path, tmp_path: Path) -> None:
    assert "no M-ANT weights" in ovpass.refuse("expand", source, "-o", tmp_path / "out")
    ovpass.succeed("apply", model, "-o", tmp_path / "done", "--quiet")
    assert "strip" in ovpass.refuse("expand", tmp_path / "done", "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_second_compression_is_refused(ovpass: CommandLine, model: Path, tmp_path: Path) -> None:
    said = ovpass.refuse("compress", model, "-o", tmp_path / "twice", "--mode", "mant3")
    assert "compressed weights already" in said
    assert not (tmp_path / "twice").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--mode", "mant4", "--group-size", 48), "does not divide"),
        (("--mode", "mant4", "--ratio", 0.5), "ratio"),
        (("--mode", "mant4", "--awq"), "awq"),
        (("--mode", "mant5"), "did you mean"),
    ],
)
def test_what_cannot_be(
    ovpass: CommandLine, source: Path, tmp_path: Path, options: tuple[object, ...], said: str
) -> None:
    assert said in ovpass.refuse("compress", source, "-o", tmp_path / "out", *options)
    assert not any(tmp_path.iterdir())
