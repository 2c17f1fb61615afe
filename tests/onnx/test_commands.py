"""The command line on models that came from ONNX."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import CommandLine, contents
from tests.onnx.models import FUSED, LEVEL4, Convert, path_of


def test_inspect_says_what_the_file_asked_for(ovpass: CommandLine, ir: Convert) -> None:
    found = {}
    for name in ("dynamic_quint8", FUSED, LEVEL4):
        sites = ovpass.succeed("inspect", ir(name), "--json").json["sites"]
        found[name] = {(site["eligible"], "u8 asymmetric activations" in site["asked"]) for site in sites}
        assert sites[0]["asked"] in ovpass.succeed("inspect", ir(name)).out
    assert found == {"dynamic_quint8": {(False, True)}, FUSED: {(True, True)}, LEVEL4: {(True, False)}}
    assert "accuracy_level 4" in sites[0]["asked"]


def test_plans_say_it_too_and_can_be_carried_out_from_a_file(ovpass: CommandLine, ir: Convert, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    settings = ("--lowering", "int8", "--target", "cpu")
    decisions = ovpass.succeed("plan", ir("dynamic_qint8"), *settings, "-o", plan, "--json").json["decisions"]
    assert all(d["restate"] and "MatMulInteger" in d["reason"] for d in decisions)
    direct, planned = tmp_path / "direct.xml", tmp_path / "planned.xml"
    ovpass("apply", ir("dynamic_qint8"), "-o", direct, *settings, "--quiet")
    ovpass("apply", ir("dynamic_qint8"), "-o", planned, "--plan", plan, "--quiet")
    assert direct.read_text() == planned.read_text()


def test_apply_verify_strip(ovpass: CommandLine, ir: Convert, tmp_path: Path) -> None:
    source = ir("dynamic_qint8")
    before = contents(source.parent)
    out = tmp_path / "out.xml"
    ran = ovpass("apply", source, "-o", out, "--lowering", "int8", "--target", "cpu", "--json")
    assert (ran.code, ran.json["counts"]["quantize"]) == (0, 12)
    checked = ovpass("verify", out, "--device", "CPU", "--json")
    assert (checked.code, checked.json["ok"]) == (0, True)
    assert "original" in ovpass("strip", out, "-o", tmp_path / "stripped.xml").err
    assert not (tmp_path / "stripped.xml").exists()
    assert contents(source.parent) == before
    # constant folding had left the weights in 32 bits
    assert out.with_suffix(".bin").stat().st_size < source.with_suffix(".bin").stat().st_size / 2


@pytest.mark.vnni(not_for="dynamic_quint8")
@pytest.mark.parametrize("name", ["dynamic_quint8", FUSED])
def test_verify_knows_what_happens_to_them_as_they_are(name: str, ovpass: CommandLine, ir: Convert) -> None:
    found = ovpass("verify", ir(name), "--device", "CPU", "--property", "INFERENCE_PRECISION_HINT=f32", "--json")
    assert (found.code, found.json["ok"]) == (0, True)
    assert {site["found"] for site in found.json["sites"]} == {32 if name == FUSED else "not quantized"}


def test_a_file_that_was_not_converted_is_refused(ovpass: CommandLine) -> None:
    for command in (("inspect",), ("plan",), ("apply", "-o", "out.xml")):
        assert "ovpass convert" in ovpass.refuse(command[0], path_of(LEVEL4), *command[1:])
