"""One list of names for targets and devices, with aliases, and older names that still work."""

from __future__ import annotations

import pytest

from ovpass import Settings
from ovpass.errors import RenamedWarning, SettingsError
from ovpass.targets import TARGETS
from ovpass.targets.names import find_name, get_profile, get_target, known_names, profiles, target_of
from tests.cli.command import ENCODER, CommandLine


def test_no_name_means_two_things() -> None:
    aliases = [alias for profile in profiles().values() for alias in profile.aliases]
    older = [name for target in TARGETS.values() for name in target.older_names]
    names = [*known_names(), *aliases, *older]
    assert len(names) == len(set(names))
    assert all(name == target.name for name, target in TARGETS.items())


@pytest.mark.parametrize(
    ("text", "name", "target"),
    [
        ("gpu-xe2", "gpu-xe2", "gpu-xe2"),
        ("arc-b580", "arc-b580", "gpu-xe2"),
        ("b580", "arc-b580", "gpu-xe2"),
        ("lnl", "lunar-lake", "gpu-xe2"),
        ("arrow-lake-h", "arrow-lake-h", "gpu-xmx"),
        ("mtl", "meteor-lake", "gpu-no-xmx"),
    ],
)
def test_devices_follow_the_rules_of_their_target(text: str, name: str, target: str) -> None:
    assert (find_name(text).name, get_target(text).name) == (name, target)
    assert Settings(target=text).target == name


def test_a_target_is_simulated_by_its_usual_device() -> None:
    assert get_profile("gpu-xmx").name == "arc-a770"
    with pytest.raises(SettingsError, match="only GPUs can be simulated"):
        get_profile("cpu")


def test_an_older_name_works_and_is_noted() -> None:
    with pytest.warns(RenamedWarning, match="gpu-no-xmx"):
        assert Settings(target="gpu").target == "gpu-no-xmx"


def test_the_command_line_notes_an_older_name_once(ovpass: CommandLine) -> None:
    ran = ovpass("plan", ENCODER, "--target", "gpu", "--json")
    assert (ran.code, ran.err.count("Note:"), ran.json["settings"]["target"]) == (0, 1, "gpu-no-xmx")
    assert ovpass("plan", ENCODER, "--target", "gpu", "--quiet").err == ""


@pytest.mark.parametrize("text", ["arc-b850", "GPU", ""])
def test_an_unknown_name_is_told_all_there_are(text: str) -> None:
    with pytest.raises(SettingsError, match="lunar-lake"):
        find_name(text)


@pytest.mark.parametrize(
    ("architecture", "xmx", "name"),
    [(12, True, "gpu-xmx"), (12, False, "gpu-no-xmx"), (20, True, "gpu-xe2"), (30, True, "gpu-xe2")],
)
def test_a_gpu_belongs_to_a_target(architecture: int, xmx: bool, name: str) -> None:
    assert target_of(architecture, xmx=xmx).name == name


def test_a_device_that_openvino_does_not_support_is_named() -> None:
    with pytest.raises(SettingsError, match="Ponte Vecchio"):
        get_profile("PVC")
