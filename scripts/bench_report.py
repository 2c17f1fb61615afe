"""How long reports take to be made and to load, by the number of sites.

    python scripts/bench_report.py [--repeats 5]

Makes pages of runs of all commands on made-up models, opens each in headless Chromium (Debian's chromium and
chromium-driver) in turns, and prints medians, and ratios to the smallest page.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ovpass.cli.output import print_table
from ovpass.reporting.page import write_report
from tests.reporting.browser import Browser, started
from tests.reporting.made import everything, names, side

SITES = (15, 211, 2000)
_LOADED = "return performance.getEntriesByType('navigation')[0].loadEventEnd"
_FILTER = """
const [text, done] = arguments, form = document.querySelector('form.tools'), count = form.querySelector('output');
form.scrollIntoView();
requestAnimationFrame(() => setTimeout(() => {
  const started = performance.now(), before = count.textContent;
  form.elements.text.value = text;
  form.elements.text.dispatchEvent(new Event('input', {bubbles: true}));
  const shown = () => requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
  const look = () => (count.textContent === before ? setTimeout(look, 1) : shown());
  look();
}));
"""
"""In view, until it is drawn: a browser lays out no table that nobody sees."""


@dataclass(frozen=True)
class Page:
    """A report in a file, and the seconds that it took to write."""

    sites: int
    path: Path
    seconds: float


def main() -> None:
    """Make the pages, load them in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pages = [_made(count, folder / f"{count}.html") for count in SITES]
        with started(folder / "chromium") as browser:
            rounds = [[_measured(browser, page) for page in pages] for _ in range(repeats + 1)]
        _print(pages, rounds[1:])  # the first one fills the browser's caches


def _made(count: int, path: Path) -> Page:
    sites = names(count)
    runs = side(everything(sites, exempt=sites[: count // 10]))
    start = time.perf_counter()
    write_report(runs, path)
    return Page(count, path, time.perf_counter() - start)


def _measured(browser: Browser, page: Page) -> tuple[float, float]:
    """Milliseconds until the page is loaded, and from a word that is typed until its table is filtered and drawn."""
    browser.open(page.path)
    return float(browser.run(_LOADED)), float(browser.driver.execute_async_script(_FILTER, "attn"))


def _print(pages: list[Page], rounds: list[list[tuple[float, float]]]) -> None:
    loads, filters = ([statistics.median(r[i][what] for r in rounds) for i in range(len(pages))] for what in (0, 1))
    rows = [
        (
            page.sites,
            f"{page.path.stat().st_size / 1e3:.0f}",
            f"{page.seconds:.1f}",
            f"{load:.0f}",
            f"{load / loads[0]:.1f}",
            f"{filtered:.0f}",
        )
        for page, load, filtered in zip(pages, loads, filters, strict=True)
    ]
    columns = ("Sites", "KB", "Written in s", "Loaded in ms", "Ratio", "Filtered in ms")
    print_table(columns, rows, numeric=columns)


if __name__ == "__main__":
    main()
