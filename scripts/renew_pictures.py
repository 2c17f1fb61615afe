"""Make the pictures of the documents anew: pages on SmolLM2-135M, as Chromium shows them.

python scripts/renew_pictures.py            # a quarter of an hour the first time

It needs Debian's chromium and chromium-driver, and what `ovpass optimize --target arc-a770` needs. The stages are kept
in the folder of --work, so that another run only draws. See what changed with git diff.
"""

from __future__ import annotations

import base64
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ovpass.support.cache import cache_folder  # noqa: E402
from tests.reporting.browser import Browser, started  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
WIDTH = 1200
OPTIMIZED = "optimize {model} -o optimized --target arc-a770 --max-kl 0.02 --work stages --overwrite"
STAGES = ("tune", "apply", "verify", "evaluate")
BENCH = """bench {model}@DYNAMIC_QUANTIZATION_GROUP_SIZE=0,INFERENCE_PRECISION_HINT=f32
    {model}@DYNAMIC_QUANTIZATION_GROUP_SIZE=32,INFERENCE_PRECISION_HINT=f32 --prompt-tokens 32,64,128,256,512 --json"""
_ALL = "document.querySelectorAll('.scroll')"


@dataclass(frozen=True)
class Picture:
    """A part of a page, from the top of one element to the bottom of another; `stop` moves the slider first."""

    name: str
    page: str
    first: str
    last: str
    stop: int | None = None


SHOWN = (
    Picture("optimize.png", "optimized/report.html", "header.top", "#verdict"),
    Picture("report.png", "report.html", "header.top", "#map"),
    Picture("what-if.png", "report.html", "#what-if", "#what-if", stop=1),
)


def run(command: str, folder: Path, output: Path | None = None) -> None:
    """Run ovpass, unless its output is there already."""
    if output is not None and output.exists():
        return
    words = [sys.executable, "-m", "ovpass", *shlex.split(command)]
    done = subprocess.run(words, cwd=folder, check=True, stdout=subprocess.PIPE if output else None)
    if output is not None:
        output.write_bytes(done.stdout)


def draw(browser: Browser, picture: Picture, folder: Path) -> None:
    """Write one picture."""
    browser.open(folder / picture.page, width=WIDTH)
    if picture.stop is not None:
        move = "s.value = arguments[0]; s.dispatchEvent(new Event('input'))"
        browser.run(f"const s = document.querySelector('#what-if input'); {move}", picture.stop)
    place = (
        "const [a, b] = Array.from(arguments, e => document.querySelector(e).getBoundingClientRect());"
        "return [a.top + scrollY, b.bottom + scrollY]"
    )
    top, bottom = browser.run(place, picture.first, picture.last)
    margin = 12
    browser.run(f"{_ALL}.forEach(e => (e.style.contentVisibility = 'visible'))")  # what is out of view is drawn, too
    clip = {"x": 0, "y": max(0, top - margin), "width": WIDTH, "height": bottom - top + 2 * margin, "scale": 1}
    shot = browser.driver.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    (PICTURES / picture.name).write_bytes(base64.b64decode(shot["data"]))


@click.command()
@click.option("--work", type=click.Path(path_type=Path), help="Folder of the stages.  [default: in the cache]")
def main(work: Path | None) -> None:
    """Make the pictures anew."""
    folder = (work or cache_folder() / "pictures").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    get = [sys.executable, str(ROOT / "scripts" / "get_smollm2_float.py"), "--int8"]
    model = Path(subprocess.run(get, check=True, capture_output=True, text=True).stdout.strip())
    link = folder / model.name
    if not link.exists():
        link.symlink_to(model)
    run(OPTIMIZED.format(model=model.name), folder)
    run(BENCH.format(model=model.name), folder, folder / "bench.json")
    runs = " ".join(f"stages/{stage}.json" for stage in STAGES)
    run(f"report {runs} bench.json -o report.html", folder)
    with tempfile.TemporaryDirectory() as profile, started(Path(profile)) as browser:
        for picture in SHOWN:
            draw(browser, picture, folder)
            click.echo(f"docs/pictures/{picture.name}")


if __name__ == "__main__":
    main()
