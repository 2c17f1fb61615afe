"""Several verifications of one plan stand side by side, and the verdict goes by the device that the plan is for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ovpass.reporting.checks import RunError
from ovpass.reporting.devices import side_by_side
from ovpass.reporting.page import render, write_report
from tests.reporting.browser import PHONE, WIDE, Browser
from tests.reporting.made import header, loaded, names, plan, side, verify

NAMES = names(15)
PLAN = {**plan(NAMES), "settings": {"group_size": 64, "target": "arc-b580"}}


def on(device: str, differing: Sequence[str] = ()) -> dict[str, Any]:
    return {**verify(PLAN, differing), "simulated": device}


ON_ALL: dict[str, Any] = {
    "ok": False,
    "devices": [
        {"target": "gpu-xmx", **on("arc-a770", NAMES[:2])},
        {"target": "gpu-xe2", **on("arc-b580")},
        {"target": "gpu-no-xmx", "simulated": "meteor-lake", "error": "the driver is too old", "missing": True},
    ],
    "run": header("verify"),
}


@pytest.mark.parametrize("runs", [[ON_ALL], [on("arc-a770", NAMES[:2]), on("arc-b580")]], ids=["all", "single"])
def test_the_device_that_the_plan_is_for_counts(runs: list[dict[str, Any]]) -> None:
    shown = side([PLAN, *runs])
    assert shown.verified is not None
    assert (shown.verified.simulated, shown.verified.ok) == ("arc-b580", True)
    rows = side_by_side(shown)
    assert rows is not None
    first, second = rows.devices[:2]
    assert (first.planned, first.quantized, first.groups) == ("2 sites not as planned", "13 of 15", "64")
    assert (second.planned, second.quantized, second.threshold) == ("all as planned", "15 of 15", "64 tokens")
    assert dict(zip(rows.kinds, first.kinds, strict=True))["attn.q"] == "1 of 2"


def test_a_device_of_its_kind_that_does_not_follow_counts_first() -> None:
    shown = side([PLAN, on("arc-b580"), on("lunar-lake", NAMES[:1])])
    assert shown.verified is not None
    assert shown.verified.simulated == "lunar-lake"


def test_what_could_not_be_asked_is_told() -> None:
    assert "not checked: the driver is too old" in render(side([PLAN, ON_ALL]))
    assert side([PLAN, {**ON_ALL, "devices": ON_ALL["devices"][2:]}]).verified is None


def test_one_device_is_asked_once() -> None:
    with pytest.raises(RunError, match="arc-b580"):
        side([PLAN, on("arc-b580"), ON_ALL])
    with pytest.raises(RunError, match="damaged"):
        loaded([{**ON_ALL, "devices": ["arc-b580"]}])
    assert side_by_side(side([PLAN, on("arc-b580")])) is None


def test_it_fits_a_phone_and_is_accessible(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "devices.html"
    write_report(side([PLAN, ON_ALL]), page)
    for width in (WIDE, PHONE):
        browser.open(page, width=width)
        assert browser.run("return document.documentElement.scrollWidth") <= width
        assert browser.violations() == []
