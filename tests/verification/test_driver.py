"""The driver of simulated GPUs: which one is used, what it has to know, and how one is got."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ovpass.errors import DriverError, NoDeviceError
from ovpass.targets import TARGETS
from ovpass.targets.names import get_profile, profiles
from ovpass.verification.driver import ICD, LOADER, SYSTEM, VARIABLE, Driver, current_driver, parse_version
from ovpass.verification.driver_install import KEYRING, MANIFEST, install_driver
from ovpass.verification.simulated_gpu import check_knows
from tests.cli.command import ENCODER, CommandLine
from tests.missing import lacking

NOWHERE = "http://127.0.0.1:9/debian"
apt_only = pytest.mark.usefixtures("apt")


@pytest.fixture
def apt() -> None:
    """Debian's own tools, with the key of its archive."""
    if shutil.which("apt-get") is None or not KEYRING.is_file():
        lacking("apt-get and the key of Debian's archive")


def empty_driver(folder: Path) -> Path:
    """A folder that looks like a driver."""
    for name in (LOADER, ICD):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / MANIFEST).write_text("{}", encoding="utf-8")
    return folder


def test_the_users_cache_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert current_driver() == Driver()
    folder = empty_driver(tmp_path / "ovpass/driver")
    assert current_driver() == Driver(folder)
    monkeypatch.setenv(VARIABLE, SYSTEM)
    assert current_driver() == Driver()
    other = empty_driver(tmp_path / "other")
    monkeypatch.setenv(VARIABLE, str(other))
    assert current_driver() == Driver(other)


def test_a_folder_without_a_driver_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ovpass: CommandLine
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    for command in (("verify", ENCODER, "--simulate", "a770"), ("devices",)):
        error = ovpass.refuse(*command)
        assert str(tmp_path) in error
        assert "--install-driver" in error


def test_a_private_driver_is_started_by_its_own_loader(tmp_path: Path) -> None:
    command = Driver(tmp_path).command(["python", "-c", "pass"])
    assert command[0] == str(tmp_path / LOADER)
    assert command[-3:] == ["python", "-c", "pass"]
    assert Driver().command(["python"]) == ["python"]


@pytest.mark.parametrize("text", ["", "26", "26.x", "abc"])
def test_no_version(text: str) -> None:
    assert parse_version(text) is None


def test_a_driver_that_does_not_know_the_device_is_refused_before_it_crashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ovpass.verification.simulated_gpu.driver_version", lambda *_: parse_version("22.43.24595"))
    check_knows(Driver(), get_profile("arc-a770"))
    with pytest.raises(NoDeviceError, match=r"22\.43\.24595.*arc-b580.*26\.27"):
        check_knows(Driver(), get_profile("arc-b580"))


# Getting one ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@apt_only
def test_no_network(ovpass: CommandLine, tmp_path: Path) -> None:
    error = ovpass.refuse("devices", "--install-driver", tmp_path / "driver", "--mirror", NOWHERE)
    assert "cannot be reached" in error
    assert list(tmp_path.iterdir()) == []


@apt_only
def test_no_such_suite(ovpass: CommandLine, tmp_path: Path) -> None:
    archive = (tmp_path / "archive").as_uri()
    error = ovpass.refuse("devices", "--install-driver", tmp_path / "driver", "--mirror", archive, "--suite", "woody")
    assert "has no suite woody" in error
    assert list(tmp_path.iterdir()) == []


@apt_only
def test_an_archive_without_a_signature(tmp_path: Path) -> None:
    suite = tmp_path / "archive/dists/forky"
    suite.mkdir(parents=True)
    (suite / "Release").write_text(
        "Origin: Debian\nSuite: forky\nCodename: forky\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n", encoding="utf-8"
    )
    with pytest.raises(DriverError, match="signature"):
        install_driver(tmp_path / "driver", mirror=(tmp_path / "archive").as_uri())
    assert not (tmp_path / "driver").exists()


def test_no_apt(ovpass: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get" in ovpass.refuse("devices", "--install-driver", tmp_path / "driver")


def test_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(DriverError, match="aarch64"):
        install_driver(tmp_path / "driver", mirror=NOWHERE)


@apt_only
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    with pytest.raises(DriverError, match="another folder"):
        install_driver(tmp_path, mirror=NOWHERE)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.slow
@apt_only
def test_a_driver_that_is_there_stays_where_no_other_can_be_had(tmp_path: Path) -> None:
    folder = empty_driver(tmp_path / "driver")
    with pytest.raises(DriverError, match="cannot be reached"):
        install_driver(folder, mirror=NOWHERE)
    assert (folder / LOADER).is_file()


def test_a_mirror_is_for_an_installation(ovpass: CommandLine) -> None:
    assert "--install-driver" in ovpass.refuse("devices", "--mirror", NOWHERE)


# The list -------------------------------------------------------------------------------------------------------------


def test_all_targets_and_devices_are_listed(ovpass: CommandLine) -> None:
    report = ovpass.succeed("devices", "--json").json
    assert [target["name"] for target in report["targets"]] == list(TARGETS)
    assert [device["name"] for device in report["simulated"]] == list(profiles())
    assert all(device["usable"] == (device["missing"] is None) for device in report["simulated"])
    assert {device["name"] for device in report["simulated"] if device["preview"]} == {"nova-lake", "crescent-island"}
    assert "CPU" in report["openvino_devices"]


def test_without_a_driver_each_device_needs_one(
    ovpass: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, SYSTEM)
    monkeypatch.setenv("OCL_ICD_VENDORS", str(tmp_path))
    monkeypatch.setenv("OCL_ICD_FILENAMES", "")
    report = ovpass.succeed("devices", "--json").json
    assert report["driver"] is None
    assert not any(device["usable"] for device in report["simulated"])
    assert "--install-driver" in ovpass.succeed("devices").out
