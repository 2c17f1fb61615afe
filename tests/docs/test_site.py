"""The documents become a site, whole and without a word from other hosts."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import ovpass
from ovpass.cli.main import cli
from tests.documents import ROOT, documents


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def text(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_document_is_a_page_that_the_menu_leads_to(site: Path) -> None:
    menu = re.findall(r'<a href="([^"#:]+)" class="md-nav__link', (site / "404.html").read_text(encoding="utf-8"))
    pages = {Path(document.name).relative_to("docs").with_suffix(".html").as_posix() for document in documents()}
    assert {link.lstrip("/") for link in menu} >= pages


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
