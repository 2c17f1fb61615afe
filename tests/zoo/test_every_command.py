"""Commands that look at models and change them, on every model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import CommandLine, contents
from tests.zoo.expected import REFUSED, refused
from tests.zoo.exports import NAMES, ZOO, sites

pytestmark = pytest.mark.slow

EACH = pytest.mark.parametrize("name", NAMES)
WAYS = {
    "native": ("--group-size", 32, "--exempt", "kind:attn"),
    "native-gpu": ("--target", "gpu-no-xmx", "--group-size", 32),
    "native-cpu": ("--target", "cpu", "--group-size", 32),
    "int8": ("--lowering", "int8", "--requantize"),
    "int8-cpu": ("--lowering", "int8", "--requantize", "--target", "cpu"),
    "emulate": ("--lowering", "emulate", "--group-size", 32),
}


def names(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted(entry["name"] for entry in entries)


@EACH
@pytest.mark.parametrize("target", ["gpu-xmx", "gpu-no-xmx", "cpu"])
def test_inspect_plan_explain(ovpass: CommandLine, name: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are of one mind, once the model runs with the properties that the plan asks for, on a CPU with VNNI."""
    monkeypatch.setattr("ovpass.targets.cpu.has_vnni", lambda: True)
    inspected = ovpass.succeed("inspect", ZOO / name, "--target", target, "--json").json
    assert names(inspected["sites"]) == sites(name)
    planned = ovpass.succeed("plan", ZOO / name, "--target", target, "--json").json
    assert names(planned["decisions"]) == sites(name)
    assert planned["counts"]["quantize"] == sum(site["eligible"] for site in inspected["sites"])
    run = [word for item in planned["run_properties"].items() for word in ("--property", "=".join(item))]
    explained = ovpass.succeed("explain", ZOO / name, *run, "--json").json["devices"]
    devices = [device for device in explained if device["target"] == target]
    assert sum(outcome["sites"] for device in devices for outcome in device["outcomes"]) == len(sites(name))
    assert sum(device["quantized"] for device in devices) == planned["counts"]["quantize"]


@EACH
@pytest.mark.parametrize("way", WAYS)
def test_apply_and_strip(ovpass: CommandLine, name: str, way: str, tmp_path: Path) -> None:
    """What strip leaves is what was there; it refuses where the weights are others now."""
    original = contents(ZOO / name)
    settings = [word for word in WAYS[way] if not (name == "mamba" and word in ("--exempt", "kind:attn"))]
    out, back = tmp_path / "out", tmp_path / "back"
    applied = ovpass.succeed("apply", ZOO / name, "-o", out, *settings, "--allow-crash", "--json").json
    assert names(applied["decisions"]) == sites(name)
    assert set(contents(out)) - {"ovpass_run.env"} == set(original)
    assert sum(applied["counts"].values()) == len(sites(name))
    assert applied["counts"]["quantize"] or (name, way) == ("bert", "native-gpu")  # 8-bit weights with no zero point
    assert bool(applied["counts"]["exempt"]) == ("--exempt" in settings)
    if any(decision.get("method") == "requantize" for decision in applied["decisions"]):
        ovpass.refuse("strip", out, "-o", back)
        assert not back.exists()
        return
    stripped = ovpass.succeed("strip", out, "-o", back, "--json").json
    assert set(stripped["weights"]) == set(applied["weights"])
    left = contents(back)
    assert {path: left[path] for path in original if not path.endswith(".xml")} == {
        path: digest for path, digest in original.items() if not path.endswith(".xml")
    }
    assert contents(ZOO / name) == original


@EACH
def test_what_there_is_nothing_to_do_for(ovpass: CommandLine, name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert refused(ovpass, name, "strip", ZOO / name, "-o", out)
    assert refused(ovpass, name, "compress", ZOO / name, "-o", out)
    assert refused(ovpass, name, "convert", ZOO / name, "-o", out)
    options = (ZOO / name, "-o", out, "--lowering", "int8", "--json")
    if not refused(ovpass, name, "apply", *options):
        assert ovpass.succeed("apply", *options).json["counts"]["quantize"] == len(sites(name))
    assert out.exists() == (name not in REFUSED["apply"])


@pytest.mark.vnni
@EACH
def test_verify_on_the_cpu(ovpass: CommandLine, name: str) -> None:
    exact = ("--property", "INFERENCE_PRECISION_HINT=f32")
    report = ovpass.succeed("verify", ZOO / name, "--device", "CPU", *exact, "--json").json
    assert report["ok"]
    assert names(report["sites"]) == sites(name)


@EACH
def test_report(ovpass: CommandLine, name: str, tmp_path: Path) -> None:
    """Every site is on the page, of what the commands say of the model and of what they made of it."""
    settings = ("--target", "cpu", "--group-size", 32)
    ovpass.succeed("apply", ZOO / name, "-o", tmp_path / "out", *settings)
    for model in (ZOO / name, tmp_path / "out"):
        page = tmp_path / f"{model.name}.html"
        verified = "verify --device CPU --property INFERENCE_PRECISION_HINT=f32"
        ovpass.succeed("report", model, "-o", page, "--run", "inspect", "--run", verified)
        text = unescape(page.read_text(encoding="utf-8"))
        assert all(site in text for site in sites(name))
