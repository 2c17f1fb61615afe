"""Calibration files: those that are shipped load, others are refused with what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ovpass.errors import SettingsError
from ovpass.targets.costs import calibration_of_this_cpu, load_calibration
from ovpass.targets.costs.calibration import FALLBACK, FOLDER, calibration_to_dict

SHIPPED = sorted(FOLDER.glob("*.json"))


def shipped() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((FOLDER / FALLBACK).read_text(encoding="utf-8"))
    return data


def test_there_is_a_fallback() -> None:
    assert FOLDER / FALLBACK in SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_ones_load_and_say_where_they_come_from(path: Path) -> None:
    calibration = load_calibration(path)
    assert json.loads(json.dumps(calibration_to_dict(calibration))) == json.loads(path.read_text(encoding="utf-8"))
    assert calibration.device
    assert re.fullmatch(r"\d{4}\.\d+(\.\d+)?", calibration.openvino)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", calibration.measured)
    assert calibration.residuals.keys() <= calibration.variants.keys()


def test_this_cpu_gets_its_own_or_is_told() -> None:
    chosen = calibration_of_this_cpu()
    assert chosen.calibration.title in chosen.note
    assert chosen.own == (chosen.device == chosen.calibration.device and "no calibration" not in chosen.note)


def changed(keys: list[str], value: Any) -> dict[str, Any]:
    data = shipped()
    inner = data
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return data


@pytest.mark.parametrize(
    ("keys", "value", "word"),
    [
        (["colour"], "red", "colour"),
        (["variants", "int8", "colour"], 1.0, "colour"),
        (["variants", "int9"], shipped()["variants"]["int8"], "int9"),
        (["variants"], {}, "int8"),
        (["variants", "int8", "mac"], -1.0, "mac"),
        (["variants", "int8", "mac"], 0, "mac"),
        (["variants", "int8", "mac"], float("nan"), "mac"),
        (["variants", "int8", "mac"], "3", "mac"),
        (["quantization", "fixed"], None, "fixed"),
        (["quantization", "fixed"], -0.5, "fixed"),
        (["amx"], 1, "amx"),
        (["threads"], 2.5, "threads"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, keys: list[str], value: Any, word: str) -> None:
    path = tmp_path / "cpu.json"
    path.write_text(json.dumps(changed(keys, value)), encoding="utf-8")
    with pytest.raises(SettingsError, match=word) as error:
        load_calibration(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"device": "x"}'])
def test_other_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cpu.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=re.escape(str(path))):
        load_calibration(path)
