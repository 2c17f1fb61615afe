"""Reports, opened in Chromium."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from ovpass.reporting.page import write_report
from tests.reporting.browser import PHONE, WIDE, Browser
from tests.reporting.made import HOSTILE, everything, names, plan, side, verify

MANY = 2000


def test_asks_for_nothing_and_has_nothing_to_complain_of(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.run("return document.readyState") == "complete"
    assert browser.messages() == []
    assert browser.requests() == []


def test_network_is_forbidden_to_whatever_slips_in(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("document.body.append(Object.assign(new Image(), {src: 'https://nowhere.invalid/x.png'}))")
    assert any("Content Security Policy" in message for message in browser.messages())


def test_names_that_look_like_html_are_text(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert HOSTILE in browser.texts("#sites-table .name")
    assert browser.run("return document.title") == "made - ovpass report".replace("-", "\N{EN DASH}")
    assert browser.count("script") == 1
    assert browser.count("img") == 0
    assert HOSTILE in str(browser.run("return document.querySelector('a.cell').title"))


def test_one_cell_a_site_that_leads_to_its_row(browser: Browser, page: Path) -> None:
    browser.open(page)
    targets = browser.run("return Array.from(document.querySelectorAll('.map a.cell'), a => a.getAttribute('href'))")
    rows = browser.run("return Array.from(document.querySelectorAll('#sites-table tbody tr'), r => '#' + r.id)")
    assert sorted(targets) == sorted(rows)
    assert len(set(targets)) == 15


def test_filter_and_sort(browser: Browser, page: Path) -> None:
    browser.open(page)

    def shown() -> list[str]:
        return browser.texts("#sites-table tbody tr:not([hidden]) .name")

    def fill(name: str, value: str) -> None:
        browser.run(
            "const e = document.querySelector(`form.tools [name=${arguments[0]}]`); e.value = arguments[1];"
            "e.dispatchEvent(new Event('input', {bubbles: true}))",
            name,
            value,
        )

    fill("text", "LAYERS.1 attn")
    assert shown() == [f"model.layers.1.attn.{kind}" for kind in ("q", "k", "v", "out")]
    assert browser.texts("form.tools output") == ["4 of 15 shown"]
    fill("text", "")
    fill("action", "exempt")
    assert shown() == ["model.layers.0.mlp.down"]
    fill("action", "")
    fill("agrees", "no")
    assert shown() == ["model.layers.0.attn.out"]
    fill("agrees", "")
    cost = "#sites-table thead th:last-child"
    browser.run("document.querySelector(arguments[0]).click()", f"{cost} button")
    assert shown()[0] == "lm_head"  # the cheapest: costs fall along the model
    browser.run("document.querySelector(arguments[0]).click()", f"{cost} button")
    assert shown()[0] == HOSTILE
    assert browser.run("return document.querySelector(arguments[0]).ariaSort", cost) == "descending"
    browser.run("document.querySelector(arguments[0]).click()", f"{cost} button")
    assert shown()[-1] == "lm_head"  # in the model's order again
    fill("kind", "lm_head")
    assert shown() == ["lm_head"]
    browser.run("document.querySelector('a.cell').click()")
    assert len(shown()) == 15


def test_another_budget_leaves_out_other_sites(browser: Browser, page: Path) -> None:
    browser.open(page)
    slider, said = "#what-if input", "#what-if output"

    def left_out() -> list[str]:
        drawn = "return Array.from(document.querySelectorAll('#what-if i[data-w=out]'), c => c.title)"
        names = browser.texts("#what-if ol .name")
        assert set(browser.run(drawn)) == set(names)
        return names

    assert "in groups of 64, 1 site left out, 90.0 % of the work quantized" in browser.texts(said)[0]
    assert "tune chose this plan" in browser.texts(said)[0]
    assert left_out() == [HOSTILE]
    field = browser.driver.find_element("css selector", slider)
    field.send_keys(Keys.ARROW_LEFT)
    assert "2 sites left out" in browser.texts(said)[0]
    assert browser.run("return document.querySelector(arguments[0]).ariaValueText", slider) in browser.texts(said)[0]
    assert left_out() == [HOSTILE, "model.layers.0.attn.k"]
    field.send_keys(Keys.END)
    assert left_out() == []
    assert browser.count("#what-if i[data-w=never]") == 1  # not at this group size
    assert browser.violations() == []
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.style(slider, "display") == "none"
    assert browser.style(said, "display") != "none"
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_a_table_is_exported_as_csv_of_what_is_shown(browser: Browser, page: Path) -> None:
    browser.open(page)
    exported = browser.run(
        "const link = document.querySelector('#sites a.csv'); link.addEventListener('click', e => e.preventDefault());"
        "document.querySelector('#sites-table tbody tr:last-child').hidden = true; link.click();"
        "return decodeURIComponent(link.href.slice(link.href.indexOf(',') + 1))"
    )
    rows = list(csv.reader(io.StringIO(exported)))
    assert (len(rows), rows[0][:2], len({len(row) for row in rows})) == (15, ["Site", "Kind"], 1)
    assert rows[1][0].startswith(HOSTILE)
    assert browser.messages() == []


def test_forced_colours_leave_what_colours_mean(browser: Browser, page: Path) -> None:
    browser.open(page)
    forced = {"features": [{"name": "forced-colors", "value": "active"}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", forced)
    browser.run("document.querySelector('.by-cost').click()")
    shades = browser.run(
        "return Array.from(document.querySelectorAll('.map a.cell'), c => getComputedStyle(c).backgroundColor)"
    )
    assert len(set(shades)) > 3
    assert browser.style(".choice input:checked + span", "outline-style") == "solid"
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_copied_name_can_be_copied_again(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("const b = document.querySelector('button.copy'); b.click(); b.click()")
    waited = "const [done] = arguments; setTimeout(() => done(document.querySelector('button.copy').textContent), 1500)"
    assert browser.driver.execute_async_script(waited) == "Copy"


def test_arrow_keys_move_over_the_map_and_say_why(browser: Browser, page: Path) -> None:
    browser.open(page)
    assert browser.count("a.cell[tabindex='0']") == 1
    press = (
        "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}));"
        "return document.getElementById('tip').textContent"
    )
    browser.run("document.querySelector('a.cell[tabindex=\"0\"]').focus()")
    assert "model.layers.0.attn.k" in browser.run(press, "ArrowDown")
    text = browser.run(press, "ArrowRight")
    assert "model.layers.1.attn.k: attn.k, block 1" in text
    assert "i4 weights, K=64" in text
    browser.run(press, "Escape")
    assert browser.run("return document.getElementById('tip').hidden")


def test_map_shows_decision_group_cost_and_plugin(browser: Browser, page: Path) -> None:
    browser.open(page)

    def colours(mode: str, attribute: str) -> dict[str, str]:
        browser.run("document.querySelector(arguments[0]).click()", f".{mode}")
        pairs = browser.run(
            "return Array.from(document.querySelectorAll('.map a.cell'),"
            " c => [c.dataset[arguments[0]] ?? '', getComputedStyle(c).background])",
            attribute,
        )
        return dict(pairs)

    for mode, attribute, values in (
        ("by-decision", "a", {"quantize", "exempt"}),
        ("by-group", "g", {"6", ""}),
        ("by-plugin", "v", {"on", "off", "differs"}),
    ):
        found = colours(mode, attribute)
        assert set(found) == values
        assert len(set(found.values())) == len(values)
    costs = colours("by-cost", "s")
    assert len(set(costs.values())) == len(costs) > 3


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_fits_the_screen_and_is_accessible(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width=width, dark=dark)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    clipped = browser.run(
        "return Array.from(document.querySelectorAll('.verdict, .cards, .facts, figure'))"
        ".filter(e => e.scrollWidth > e.clientWidth).map(e => e.className)"
    )
    assert clipped == []
    assert browser.violations() == []


def test_themes(browser: Browser, page: Path) -> None:
    seen = {}
    for dark in (False, True):
        browser.open(page, dark=dark)
        seen[dark] = browser.style("body", "background-color")
    assert seen[False] != seen[True]
    browser.run("document.getElementById('theme-light').click()")
    assert browser.style("body", "background-color") == seen[False]
    browser.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    browser.run("document.getElementById('theme-dark').click()")
    assert browser.style("body", "color") == "rgb(27, 29, 34)"  # dark ink on white paper
    assert browser.style("form.tools", "display") == "none"
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_scripts_all_is_there_but_what_needs_them(browser: Browser, page: Path) -> None:
    browser.open(page, scripts=False)
    try:
        root = browser.driver.execute_cdp_cmd("DOM.getDocument", {"depth": 1})["root"]["nodeId"]
        found = browser.driver.execute_cdp_cmd("DOM.getOuterHTML", {"nodeId": root})["outerHTML"]
        assert 'class="no-js"' in found
        assert found.count('class="cell" href=') == 15
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_two_thousand_sites(browser: Browser, tmp_path: Path) -> None:
    sites = names(MANY)
    path = tmp_path / "many.html"
    write_report(side(everything(sites, exempt=sites[5:400:7])), path)
    browser.open(path)
    assert browser.messages() == []
    assert browser.count(".map a.cell") == browser.count("#sites-table tbody tr") == MANY
    assert browser.run("return document.documentElement.scrollWidth") <= WIDE
    # What keeps loading quick, told without a clock: few elements a site, and none that waits for anything.
    assert browser.run("return document.querySelectorAll('*').length") < 20 * MANY
    assert path.stat().st_size < 1500 * MANY


def test_comparison(browser: Browser, tmp_path: Path) -> None:
    sites = [HOSTILE, *names(15)[1:]]
    left, right = side([plan(sites)]), side([plan(sites, exempt=sites[:2], group=32)])
    path = tmp_path / "compared.html"
    write_report(right, path, against=left)
    browser.open(path)
    assert browser.messages() == []
    assert browser.texts("#differing .name")[:2] == sites[:2]
    assert browser.run("return document.querySelector('main section').id") == "differences"
    assert browser.count(".map a.cell") == 30
    broken = browser.run(
        "return Array.from(document.querySelectorAll('a[href^=\"#\"]'), a => a.hash)"
        ".filter(hash => !document.getElementById(hash.slice(1)))"
    )
    assert broken == []
    assert browser.run("return document.documentElement.scrollWidth") <= WIDE
    assert browser.violations() == []


def test_long_names_and_comparisons_fit_a_phone(browser: Browser, tmp_path: Path) -> None:
    far = "/mnt/" + "a_long_name_without_breaks" * 7 + "/settings.yaml"
    runs = [plan(names(15)), plan(names(15), exempt=names(15)[:2])]
    runs[1]["run"]["files"] = {far: "group_size: 64"}
    left, right = (side([run, verify(run, differing=names(15)[3:5])]) for run in runs)
    one, two = tmp_path / "one.html", tmp_path / "two.html"
    write_report(right, one)
    write_report(right, two, against=left)
    for path in (one, two):
        for width in (PHONE, WIDE):
            browser.open(path, width=width)
            assert browser.run("return document.documentElement.scrollWidth") <= width
        browser.open(path, width=PHONE)
        cut = "return Array.from(document.querySelectorAll('.cards')).filter(e => e.scrollWidth > e.clientWidth).length"
        assert browser.run(cut) == 0
        assert browser.violations() == []
    # Each on a line of its own: what is found, and why.
    reasons = "return Array.from(document.querySelectorAll(arguments[0]), e => getComputedStyle(e).display)"
    assert set(browser.run(reasons, "#differing td:last-child .reason")) == {"block"}


def test_a4_is_no_phone_and_prints_what_colours_mean(browser: Browser, page: Path) -> None:
    browser.open(page)
    metrics = {"width": 717, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert browser.style(".cards thead", "display") == "table-header-group"
        assert browser.style(".mark", "print-color-adjust") == "exact"
        folded = browser.count("details:not([open])")
        browser.run("document.querySelector('details').open = true; dispatchEvent(new Event('beforeprint'))")
        assert browser.count("details:not([open])") == 0
        browser.run("dispatchEvent(new Event('afterprint'))")
        assert browser.count("details:not([open])") == folded - 1
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
