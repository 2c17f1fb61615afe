"""Apply each lowering to a model folder, generate the same answer with each on CPU, and print a table.

Usage: python scripts/three_lowerings.py FOLDER [OUTPUT]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import openvino as ov
import openvino_genai
from rich import box
from rich.console import Console
from rich.table import Table

import ovpass
from ovpass import Rule, Settings

QUESTION = "What is the capital of France?"
NEW_TOKENS = 24


def main() -> None:
    """Transform, generate, print."""
    source = Path(sys.argv[1])
    last = _last_two_blocks(source)
    lowerings = {
        "native": Settings(group_size=128, rules=(Rule(f"kind:mlp.down+{last}", exempt=True),)),
        "int8": Settings(lowering="int8", requantize=True),
        "emulate": Settings(lowering="emulate", group_size=64, threshold=64),
    }
    table = Table("Model", "Done to it", "Seconds", "Answer", box=box.SIMPLE_HEAD)
    table.add_row("original", "nothing", "-", _answer(source))
    with tempfile.TemporaryDirectory(prefix="ovpass-lowerings-") as temporary:
        output = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary)
        for name, settings in lowerings.items():
            started = time.perf_counter()
            shutil.rmtree(output / name, ignore_errors=True)
            done = ovpass.transform(source, output / name, settings)
            seconds = f"{time.perf_counter() - started:.1f}"
            table.add_row(name, _described(done), seconds, _answer(output / name, done.run.properties))
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def _last_two_blocks(source: Path) -> str:
    """The pattern that picks them."""
    sites = ovpass.find_compressed_matmuls(ov.Core().read_model(source / "openvino_model.xml"))
    blocks = max(site.layer for site in sites if site.layer is not None)
    return f"layer:{blocks - 1}-{blocks}"


def _described(done: ovpass.Transformed) -> str:
    counts = ", ".join(f"{number} {action}" for action, number in done.counts.items() if number)
    return f"{counts}; weights {', '.join(done.weights.values())}"


def _answer(folder: Path, properties: Mapping[str, str] | None = None) -> str:
    """Greedy text from OpenVINO GenAI on CPU, on one line."""
    pipeline = openvino_genai.LLMPipeline(folder, "CPU", **(properties or {}))
    config = openvino_genai.GenerationConfig(max_new_tokens=NEW_TOKENS, do_sample=False)
    return " ".join(str(pipeline.generate(QUESTION, config)).split())


if __name__ == "__main__":
    main()
