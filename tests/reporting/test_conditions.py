"""The settings that a page tells."""

from __future__ import annotations

import re
from html import unescape

import pytest

from ovpass.reporting.conditions import conditions
from ovpass.reporting.page import render
from ovpass.reporting.verdict import verdict
from tests.reporting.made import bench, evaluate, everything, inspect, names, plan, side, tune, verify

NAMES = names(15)


def asymmetric() -> dict[str, object]:
    """A plan whose settings are not those by default, though it leaves nothing out."""
    run = plan(NAMES, group="per-token")
    run["settings"] = {"threshold": 128, "symmetric": False, "runtime_options": {"KV_CACHE_PRECISION": "u8"}}
    run["run_environment"] = {"OV_GPU_ASYM_DYNAMIC_QUANTIZATION": "1"}
    run["run_properties"] = {"INFERENCE_PRECISION_HINT": "f32"}
    run["notes"] = ["something to know"]
    return run


def test_settings_and_what_to_run_with_are_on_the_page() -> None:
    found = conditions(side([asymmetric()]))
    assert found.facts["Target"] == "gpu-xmx"
    assert found.facts["Lowering"] == "native"
    assert "128" in found.facts["Quantized above"]
    assert "asymmetric" in found.facts["Activations"]
    assert found.facts["Runtime options"] == "KV_CACHE_PRECISION=u8"
    assert found.environment.splitlines() == ["export OV_GPU_ASYM_DYNAMIC_QUANTIZATION=1"]
    page = unescape(render(side([asymmetric()])))
    for text in (*found.facts.values(), *found.environment.splitlines(), found.properties, "something to know"):
        assert text in page


def test_the_verdict_names_the_target_and_what_it_hangs_on() -> None:
    on = verdict(side([asymmetric()]))[0]
    assert "gpu-xmx" in on.answer
    assert any("OV_GPU_ASYM_DYNAMIC_QUANTIZATION=1" in detail for detail in on.details)
    inspected = inspect(NAMES)
    inspected["target"] = "cpu"
    assert "cpu" in verdict(side([inspected]))[0].answer


@pytest.mark.slow
def test_every_page_says_what_it_was_made_under() -> None:
    for run in (*everything(NAMES), tune(plan(NAMES)), evaluate(), bench(), verify(plan(NAMES))):
        page = render(side([run]))
        (section,) = re.findall(r'<section id="settings".*?</section>', page, re.DOTALL)
        assert "<dt>" in section
