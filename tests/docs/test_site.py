"""The documents become a site, whole and without a word from other hosts."""

from __future__ import annotations

import html
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import ovpass
from ovpass.cli.main import cli
from scripts.notebooks import NOTEBOOKS
from tests.documents import ROOT, commands_of, documents, read
from tests.reporting.browser import Browser, started


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("chromium")) as running:
        yield running


def text(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


@pytest.mark.slow
def test_every_document_is_a_page_that_the_menu_leads_to(site: Path) -> None:
    menu = re.findall(r'<a href="([^"#:]+)" class="md-nav__link', (site / "404.html").read_text(encoding="utf-8"))
    pages = {Path(document.name).relative_to("docs").with_suffix(".html").as_posix() for document in documents()}
    assert {link.lstrip("/") for link in menu} >= pages


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_page_with_what_it_has_shown(site: Path, notebook: Path) -> None:
    page = (site / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
    assert f'href="notebooks/{notebook.stem}.html"' in (site / "index.html").read_text(encoding="utf-8")
    stored = notebook.read_text(encoding="utf-8")
    for part in ('class=\\"ovpass\\"', "<iframe", 'class=\\"answer\\"'):
        assert page.count(part.replace("\\", "")) == stored.count(part)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loading = re.compile(r'<(?:script|img|iframe|source)[^>]+src="(?:https?:)?//|<link[^>]+href="(?:https?:)?//')
    for page in site.rglob("*.html"):
        assert not loading.search(page.read_text(encoding="utf-8")), page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style


def test_search_needs_no_server(site: Path) -> None:
    assert (site / "search" / "search_index.js").stat().st_size > 10_000


def test_every_command_and_option_is_told(site: Path) -> None:
    told = text(site / "reference" / "commands.html")
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert f"ovpass {name} [OPTIONS]" in told
        flags = {flag for option in command.params for flag in option.opts if flag.startswith("-")}
        assert {flag for flag in flags if flag not in told} == set()


def test_every_public_name_is_told(site: Path) -> None:
    page = (site / "reference" / "python.html").read_text(encoding="utf-8")
    names = set(ovpass.__all__) - {"__version__"}
    assert {name for name in names if f'id="ovpass.{name}"' not in page} == set()
    assert "__version__" in page


def test_what_is_copied_of_a_console_are_its_commands(site: Path, browser: Browser) -> None:
    browser.open(site / "first-half-hour.html")
    copied = browser.run(
        "return [...document.querySelectorAll('.language-console code')].map(block => {"
        "  block.setAttribute('data-md-copying', '');"
        "  return block.innerText.trim().replace(/\\n+/g, '\\n');"
        "})"
    )
    blocks = read("docs/first-half-hour.md").blocks("console")
    assert copied == ["\n".join(shlex.join(one.words) for one in commands_of(block)) for block in blocks]


def test_blocks_are_not_cut_on_a_laptop(site: Path, browser: Browser) -> None:
    browser.open(site / "first-half-hour.html")
    wide = (
        "return [...document.querySelectorAll('code')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText)"
    )
    assert browser.run(wide) == []
