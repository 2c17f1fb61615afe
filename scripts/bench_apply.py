"""What `ovpass apply` costs on a model of 8 billion weights, beside OpenVINO's own read and save.

    python scripts/bench_apply.py [--repeats 3] [--keep FOLDER]

Makes an IR with the shapes of an 8B LLM (36 blocks, hidden size 4096, feed-forward 12288, int4 weights in groups of
128, about 3.6 GB), runs each command as a process of its own, in turns, and prints the median wall time, the time
apart from the start of Python and OpenVINO, the peak memory, and their ratios.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START = "import openvino as ov; ov.Core()"
_SAVE = (
    "import sys, openvino as ov; ov.save_model(ov.Core().read_model(sys.argv[1]), sys.argv[2], compress_to_fp16=False)"
)


@dataclass(frozen=True)
class Measured:
    """One run of a process: wall time in seconds and peak memory in MB."""

    seconds: float
    megabytes: float


def main() -> None:
    """Make the model, run all commands in turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder to make the model in, and to find it in the next time")
    arguments = parser.parse_args()
    with _folder(arguments.keep) as folder:
        model = folder / "model-8b.xml"
        if not model.exists():
            print(f"making {model}", file=sys.stderr)
            subprocess.run([sys.executable, "-c", _make_in_child(), str(model)], check=True)
        _report(_measure(model, folder, arguments.repeats), model)


def _make_in_child() -> str:
    """The model is made in a process of its own: its memory is none of the measurement's concern."""
    return (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import model_8b; model_8b.make(sys.argv[1])"
    )


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="ovpass-bench-") as folder:
        yield Path(folder)


def _measure(model: Path, folder: Path, repeats: int) -> dict[str, Measured]:
    """Medians of all commands, each run `repeats` times, in turns."""
    out = folder / "out"
    ovpass = [sys.executable, "-m", "ovpass"]
    commands = {
        "start": [sys.executable, "-c", _START],
        "read_model + save_model": [sys.executable, "-c", _SAVE, str(model), str(out / "saved.xml")],
        "ovpass apply --group-size 128": [
            *ovpass,
            "apply",
            str(model),
            "-o",
            str(out / "a.xml"),
            "--group-size",
            "128",
        ],
        "  and kind:mlp.down exempt": [
            *(*ovpass, "apply", str(model), "-o", str(out / "b.xml"), "--group-size", "128"),
            *("--exempt", "kind:mlp.down"),
        ],
        "ovpass inspect": [*ovpass, "inspect", str(model)],
        "ovpass --help": [*ovpass, "--help"],
    }
    runs: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            runs[name].append(_run(command))
    shutil.rmtree(out, ignore_errors=True)
    return {
        name: Measured(statistics.median(r.seconds for r in found), statistics.median(r.megabytes for r in found))
        for name, found in runs.items()
    }


def _run(command: list[str]) -> Measured:
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    return Measured(seconds, usage.ru_maxrss / 1024)


def _report(found: dict[str, Measured], model: Path) -> None:
    start, reference = found["start"], found["read_model + save_model"]
    size = model.with_suffix(".bin").stat().st_size / 1e9
    print(f"{size:.2f} GB of weights, {os.cpu_count()} cores; medians")
    print(f"{'':32}{'wall s':>8}{'ratio':>8}{'own s':>8}{'ratio':>8}{'MB':>8}{'ratio':>8}")
    for name, measured in found.items():
        own, reference_own = measured.seconds - start.seconds, reference.seconds - start.seconds
        print(
            f"{name:32}{measured.seconds:8.2f}{measured.seconds / reference.seconds:8.3f}"
            f"{own:8.2f}{own / reference_own:8.3f}"
            f"{measured.megabytes:8.0f}{measured.megabytes / reference.megabytes:8.3f}"
        )
    print("own: apart from the start of Python and OpenVINO, which is the first line")


if __name__ == "__main__":
    main()
