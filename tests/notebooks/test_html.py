"""Notebooks show results as HTML: complete, escaped, and only to themselves."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import ovpass
from ovpass.evaluation.language_model import CandidateResult, TextReport
from ovpass.evaluation.model_outputs import ArraysReport, OutputsResult, OutputSummary
from ovpass.evaluation.summary import Divergence, Estimate, TextSummary
from ovpass.notebooks import PANELS
from ovpass.support.shown import Shown
from ovpass.tuning.budget import Spent
from ovpass.tuning.tuned import Point, Tuned
from ovpass.verification.report import Report, SiteCheck, ThresholdRun
from tests.builders import llama_model
from tests.reporting.browser import Browser, started
from tests.reporting.made import HOSTILE

ALLOWED = {"div", "style", "p", "span", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
ESTIMATE = Estimate(0.0123, (0.01, 0.02))
SUMMARY = TextSummary(9.5, ESTIMATE, Divergence(ESTIMATE, ESTIMATE, 0.01, 0.02, 0.03), ESTIMATE, 2, 190)
SPENT = Spent(0.001, 0.1, (0.0005, 0.0015), None, 100)


def plan() -> ovpass.Plan:
    """One decision of each kind, with hostile names."""
    made: ovpass.Plan = ovpass.plan(llama_model(), exempt="kind:lm_head")
    first, *others = made.decisions
    return replace(made, decisions=(replace(first, name=HOSTILE, reason=HOSTILE), *others), notes=(HOSTILE,))


def tuned() -> Tuned:
    points = Point(64, 1, 0.9, 0.8, SPENT), Point(32, 0, 1.0, 0.9, SPENT)
    return Tuned(plan(), points[0], SPENT, (HOSTILE,), points, holds=False, finished=False)


def results() -> dict[str, Shown]:
    """One of each class that is shown."""
    model = llama_model()
    sites = ovpass.find_compressed_matmuls(model)
    inspected = ovpass.inspect(model)
    checks = SiteCheck(HOSTILE, 32, None, False, HOSTILE), SiteCheck("b", 32, 32, True, "")
    verified = Report("GPU", HOSTILE, checks, 1, (ThresholdRun(65, 1, 0),), 64, (HOSTILE,), HOSTILE)
    candidate = CandidateResult(f"{HOSTILE}@64", HOSTILE, (HOSTILE,), SUMMARY, None, None, 1.0)
    outputs = OutputsResult(HOSTILE, HOSTILE, (HOSTILE,), (OutputSummary(HOSTILE, ESTIMATE, ESTIMATE, 0.1),), 1, 1.0)
    return {
        "sites": ovpass.Sites([replace(sites[0], name=HOSTILE), *sites[1:]]),
        "inspected": replace(inspected, asked={HOSTILE: HOSTILE}),
        "plan": plan(),
        "verified": verified,
        "texts": TextReport(HOSTILE, HOSTILE, 9.0, (candidate,)),
        "arrays": ArraysReport(HOSTILE, HOSTILE, (outputs,)),
        "tuned": tuned(),
        "plans": ovpass.ByModel({"": plan(), HOSTILE: plan()}),
        "inspections": ovpass.ByModel({HOSTILE: inspected}),
        "reports": ovpass.ByModel({HOSTILE: verified}),
    }


RESULTS = results()


class Tags(HTMLParser):
    """Every tag that is opened, and how many are still open in the end."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.open = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.names.add(tag)
        self.open += 1

    def handle_endtag(self, tag: str) -> None:
        self.open -= 1


def shown(result: Shown) -> str:
    html = result._repr_html_()
    assert html is not None
    return html


def text(html: str) -> str:
    return unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL))


@pytest.mark.parametrize("name", RESULTS)
def test_every_value_is_escaped(name: str) -> None:
    html = shown(RESULTS[name])
    tags = Tags(html)
    assert tags.names <= ALLOWED
    assert tags.open == 0
    assert HOSTILE in text(html)


def test_every_class_that_is_shown_has_a_panel() -> None:
    for name in PANELS:
        module, _, kind = name.rpartition(".")
        assert issubclass(getattr(importlib.import_module(module), kind), Shown)
    drawn = {type(result) for result in (*RESULTS.values(), ovpass.Page(""))}
    assert {f"{kind.__module__}.{kind.__qualname__}" for kind in drawn} == PANELS.keys()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("sites", ["15 sites"]),
        ("inspected", ["gpu-xmx quantizes 15 of 15 sites", "per-token"]),
        ("plan", ["14 sites quantized, 1 exempt", "exempt by rule 'kind:lm_head'"]),
        ("verified", ["1 of 2 sites as planned", "not quantized", "skipped up to 64 tokens"]),
        ("texts", ["0.012", "0.01 to 0.02", "9.5", "190 tokens"]),
        ("arrays", ["0.988"]),
        ("tuned", ["Not shown to be within budget", "90.0 %", "chosen", "The time was up"]),
    ],
)
def test_what_is_told(name: str, told: list[str]) -> None:
    found = text(shown(RESULTS[name]))
    assert [words for words in told if words not in found] == []


def test_states_have_the_classes_of_the_report() -> None:
    assert {*re.findall(r'class="tag (\w+)"', shown(RESULTS["plan"]))} == {"quantize", "exempt"}
    assert 'class="tag differs"' in shown(RESULTS["verified"])


def test_a_page_is_in_a_frame_that_reaches_nothing_else() -> None:
    html = shown(ovpass.Page(f"<p title='{HOSTILE}'>"))
    assert Tags(html).names == {"iframe"}
    assert re.search(r'sandbox="allow-scripts"', html)
    assert HOSTILE in unescape(html)


def test_without_the_extra_it_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    importlib.import_module("ovpass.notebooks.panel")._template.cache_clear()
    assert RESULTS["plan"]._repr_html_() is None


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.mark.slow
def test_the_notebook_keeps_its_own_style_and_tells_its_scheme(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "notebook.html"
    frame = "<!doctype html><meta charset='utf-8'><body data-jp-theme-light='{}'><table id='own'><tr><td>1</table>{}"
    inks = []
    for light in ("true", "false"):
        page.write_text(frame.format(light, shown(RESULTS["verified"])), encoding="utf-8")
        browser.open(page)
        inks.append(browser.style(".ovpass", "color"))
        assert browser.style("#own", "border-collapse") == "separate"
        assert browser.style(".ovpass table", "border-collapse") == "collapse"
    assert inks == ["rgb(27, 29, 34)", "rgb(236, 234, 228)"]
    assert browser.messages() == []


@pytest.mark.slow
@pytest.mark.parametrize("light", ["true", "false"])
def test_everyone_can_read_it(browser: Browser, tmp_path: Path, light: str) -> None:
    results = "".join(map(shown, RESULTS.values()))
    page = tmp_path / "notebook.html"
    head = "<!doctype html><html lang='en'><meta charset='utf-8'><title>Results</title>"
    style = "background: white" if light == "true" else "background: #111111; color: white"
    frame = f"{head}<body data-jp-theme-light='{light}' style='{style}'><main><h1>Results</h1>{results}</main>"
    page.write_text(frame, encoding="utf-8")
    browser.open(page)
    assert browser.violations() == []
