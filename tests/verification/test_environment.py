"""What is missing is found, and told with what to do."""

from __future__ import annotations

from importlib import metadata

import pytest

from ovpass.verification import environment
from ovpass.verification.environment import examine
from tests.cli.command import CommandLine


def test_what_is_there() -> None:
    found = {item.name: item for item in examine()}
    assert found["OpenVINO"].found == metadata.version("openvino")
    assert "CPU" in found["OpenVINO devices"].found
    assert found["extra eval"] == environment.Finding("extra eval", "installed")


def test_what_is_missing(ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = ["numpy>=1", "no-such-package>=1; extra == 'eval'", "numpy>=1; extra == 'eval'"]
    monkeypatch.setattr(metadata, "requires", lambda _: requirements)
    monkeypatch.setenv("CXX", "/no/such/compiler")
    found = {item["name"]: item for item in ovpass.succeed("doctor", "--json").json["findings"]}
    assert found["extra eval"]["found"] == "without no-such-package"
    assert "ovpass[eval]" in found["extra eval"]["advice"]
    assert found["C++ compiler"]["advice"]
    assert "could be added" in ovpass.succeed("doctor").out
