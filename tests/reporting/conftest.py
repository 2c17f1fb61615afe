"""Fixtures of the report's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ovpass.reporting.page import write_report
from tests.reporting.browser import Browser, started
from tests.reporting.made import HOSTILE, everything, names, side


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, one for all tests."""
    with started(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of all commands, on 15 sites: one is left out, one is not as planned, one has a hostile name."""
    sites = [HOSTILE, *names(15)[1:]]
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_report(side(everything(sites, exempt=sites[6:7], differing=sites[3:4])), path, note=HOSTILE)
    return path
