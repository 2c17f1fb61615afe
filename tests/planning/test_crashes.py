"""Sites that end the plugin's process: plan and verify name them, apply refuses them unless told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import ovpass
from ovpass.errors import SettingsError, VerifyError
from ovpass.settings.settings import Settings
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Question
from ovpass.verification.verify_model import verify
from tests.builders import WeightFormat, linear_model
from tests.cli.command import CommandLine
from tests.verification.command import saved

CRASHING = ("w_u4_asym_ch", "w_u4_asym_ch_scalarzp")
SOUND = ("w_u4_asym_g256", "w_u4_sym_ch", "w_u8_asym_ch", "w_u4_asym_g128_channelzp")


def notes(fmt: str | WeightFormat, group_size: int, target: str = "arc-b580") -> list[str]:
    plan = ovpass.make_plan(linear_model(fmt, n=32), Settings(target=target, group_size=group_size))
    return [note for note in plan.notes if "SIGFPE" in note]


@pytest.mark.parametrize("fmt", CRASHING)
def test_the_plan_names_what_crashes(fmt: str) -> None:
    (note,) = notes(fmt, 128)
    assert "linear" in note
    assert notes(fmt, PER_TOKEN) == notes(fmt, 512) == []
    assert notes(fmt, 32, "meteor-lake") == notes(fmt, 32, "cpu") == []


@pytest.mark.parametrize("fmt", SOUND)
def test_other_weights_do_not(fmt: str) -> None:
    assert notes(fmt, 64) == []


def test_apply_refuses_it_unless_told(ovpass: CommandLine, tmp_path: Path) -> None:
    path, out = saved(linear_model("w_u4_asym_ch", n=32), tmp_path), tmp_path / "out.xml"
    error = ovpass.refuse("apply", path, "-o", out, "--group-size", 128)
    assert "--allow-crash" in error
    assert not out.exists()
    ovpass.succeed("apply", path, "-o", tmp_path / "cpu.xml", "--group-size", 128, "--target", "cpu", "--quiet")
    ovpass.succeed(
        "apply", path, "-o", tmp_path / "emulated.xml", "--lowering", "emulate", "--group-size", 128, "--quiet"
    )
    ovpass.succeed("apply", path, "-o", out, "--group-size", 128, "--allow-crash", "--quiet")
    assert out.is_file()


def test_a_model_in_memory_is_refused_too(tmp_path: Path) -> None:
    model = linear_model("w_u4_asym_ch", n=32)
    with pytest.raises(SettingsError, match="crash"):
        ovpass.transform(model, tmp_path / "out.xml", Settings(group_size=128))
    ovpass.transform(model, tmp_path / "out.xml", Settings(group_size=128), allow_crash=True)


def test_the_plugin_crashes_and_verify_says_why(simulated: Callable[[str], object], tmp_path: Path) -> None:
    simulated("arc-b580")
    path = saved(linear_model("w_u4_asym_ch", n=32), tmp_path)
    properties = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "128"}
    report = verify(path, Question(simulate="arc-b580", properties=properties))[""]
    assert any("SIGFPE" in note for note in report.notes)
    with pytest.raises(VerifyError, match=r"was killed by SIGFPE.*known cause.*zero point per channel"):
        verify(path, Question(simulate="arc-b580", properties=properties, tokens=(65,)))
    assert verify(path, Question(simulate="arc-b580", tokens=(65,)))[""].ok
