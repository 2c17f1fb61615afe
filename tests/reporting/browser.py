"""Chromium, in which reports are looked at as people do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from axe_core_python.selenium import Axe
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
WIDE, PHONE = 1280, 390
_OPTIONS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars""".split()


@dataclass(frozen=True)
class Browser:
    """One window."""

    driver: Any

    def open(self, page: Path, *, width: int = WIDE, dark: bool = False, scripts: bool = True) -> None:
        """Show a page, and forget what the one before has said."""
        self.driver.get("about:blank")
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(page.resolve().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def count(self, selector: str) -> int:
        """How many elements there are."""
        return int(self.run("return document.querySelectorAll(arguments[0]).length", selector))

    def texts(self, selector: str) -> list[str]:
        """The texts of elements, hidden ones too."""
        found = self.run(
            "return Array.from(document.querySelectorAll(arguments[0]), e => e.textContent.trim())", selector
        )
        return [str(text) for text in found]

    def style(self, selector: str, name: str) -> str:
        """A computed style of the first such element."""
        script = "return getComputedStyle(document.querySelector(arguments[0])).getPropertyValue(arguments[1])"
        return str(self.run(script, selector, name))

    def violations(self) -> list[tuple[str, list[str]]]:
        """What axe finds in all of the page, folded parts too: rules, and the elements that break them."""
        self.run(
            "document.querySelectorAll('details').forEach(e => (e.open = true));"
            "document.querySelectorAll('.scroll').forEach(e => (e.style.contentVisibility = 'visible'))"
        )
        found = Axe().run(self.driver)["violations"]
        return [(entry["id"], [node["html"] for node in entry["nodes"]]) for entry in found]

    def messages(self) -> list[str]:
        """What the page wrote to the console, errors and refusals above all."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Where the page asked for something, itself apart."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("file://", "data:"))]


@contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """A browser of its own, gone in the end.

    Raises:
        RuntimeError: without Debian's Chromium; a report that nobody has looked at is not tested.
    """
    missing = [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]
    if missing:
        raise RuntimeError(f"no {' and no '.join(missing)}: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for option in (*_OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
