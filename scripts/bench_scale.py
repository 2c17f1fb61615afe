"""What ovpass costs by the number of sites: seconds and peak memory of whole processes.

    python scripts/bench_scale.py [--only llama,wide,moe,rules,config,strip,blockwise] [--blocks 100,400,1600]
                                  [--keep FOLDER] [--json]

Makes IRs of tiny layers (scripts/scale_models.py): decoders of 100, 400 and 1,600 blocks (701, 2,801 and 11,201
sites), 5,000 sites beside each other, and a Mixture of Experts exported expert by expert, with 18,432 MatMuls in its
experts. `blockwise` ranks the blocks of an IR with the shapes of an 8B LLM (scripts/model_8b.py, 3.8 GB), one block in
memory at a time. Every command runs as a process of its own. `user s` is the time on the CPU, which a busy machine
changes least; `doubled` is by how much it grows when the sites double, told from the line above.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

PARTS = ("llama", "wide", "moe", "rules", "config", "strip", "blockwise")
WIDE_SITES, STRIPPED_SITES, LOADED_RULES = 5000, 1000, 50_000
_TOKENIZER = Path(__file__).parents[1] / "models" / "tiny-llama-int4"
_GROUP = ("--group-size", "128")
_LOAD = "import sys; from ovpass.settings.settings import load_settings; load_settings(sys.argv[1])"


@dataclass(frozen=True)
class Line:
    """One process: wall time and user time in seconds, peak memory in MB; `doubled` as the table explains it."""

    model: str
    sites: int
    command: str
    seconds: float
    user: float
    megabytes: float
    doubled: float | None = None


def main() -> None:
    """Make the models asked for, run the commands, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="parts to run, of " + ", ".join(PARTS))
    parser.add_argument("--blocks", default="100,400,1600", help="blocks of the decoders")
    parser.add_argument("--keep", type=Path, help="a folder to make the models in, and to find them in the next time")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    blocks = [int(count) for count in arguments.blocks.split(",")]
    lines = []
    with _folder(arguments.keep) as folder:
        bench = Bench(folder)
        parts: dict[str, Callable[[], Iterator[Line]]] = {
            "llama": lambda: bench.llama(blocks),
            "wide": bench.wide,
            "moe": bench.moe,
            "rules": bench.rules,
            "config": bench.config,
            "strip": bench.strip,
            "blockwise": bench.blockwise,
        }
        if not arguments.json:
            print(
                f"{'model':14}{'sites':>7}  {'command':34}{'wall s':>8}{'user s':>8}{'MB':>7}{'MiB/site':>10}  doubled"
            )
        for part in arguments.only.split(","):
            for line in parts[part]():
                lines.append(line)
                if not arguments.json:
                    print(_row(line), flush=True)
    if arguments.json:
        print(json.dumps({"cores": os.cpu_count(), "runs": [asdict(line) for line in lines]}, indent=2))


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="ovpass-bench-") as folder:
        yield Path(folder)


def _row(line: Line) -> str:
    share = line.megabytes / line.sites if line.sites else math.nan
    doubled = "" if line.doubled is None else f"x {line.doubled:.2f}"
    return (
        f"{line.model:14}{line.sites:7}  {line.command:34}{line.seconds:8.2f}{line.user:8.2f}{line.megabytes:7.0f}"
        f"{share:10.3f}  {doubled}"
    )


class Bench:
    """The parts of the benchmark; models and outputs are made in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._out = folder / "out.xml"

    def llama(self, blocks: list[int]) -> Iterator[Line]:
        """Deep chains of blocks."""
        before: dict[str, Line] = {}
        for count in blocks:
            for line in self._commands(f"llama-{count}", "make_llama", (count,), 7 * count + 1):
                before[line.command] = _compared(line, before.get(line.command))
                yield before[line.command]

    def wide(self) -> Iterator[Line]:
        """Many sites beside each other."""
        return self._commands(f"wide-{WIDE_SITES}", "make_wide", (WIDE_SITES,), WIDE_SITES, "re:.*0/MatMul")

    def moe(self) -> Iterator[Line]:
        """Experts one by one: 48 layers of 128, with 4 sites of attention and the router in each, and the head."""
        return self._commands("moe-128x48", "make_moe", (), 48 * (3 * 128 + 5) + 1)

    def rules(self) -> Iterator[Line]:
        """As many rules as sites, each with the name of one."""
        model = self._model("wide-5000", "make_wide", (WIDE_SITES,))
        for count in (0, 1000, WIDE_SITES):
            config = self._config(count)
            yield self._run("wide-5000", WIDE_SITES, f"plan, {count} exact rules", "plan", model, "--config", config)

    def config(self) -> Iterator[Line]:
        """A file of settings alone."""
        config = self._config(LOADED_RULES)
        yield _measured("-", 0, f"load {LOADED_RULES} rules", [sys.executable, "-c", _LOAD, str(config)])

    def strip(self) -> Iterator[Line]:
        """An emulated model, in which most ops are those of quantizers."""
        for name, maker, count, sites in (
            (f"wide-{STRIPPED_SITES}", "make_wide", STRIPPED_SITES, STRIPPED_SITES),
            (f"wide-{WIDE_SITES}", "make_wide", WIDE_SITES, WIDE_SITES),
            ("llama-400", "make_llama", 400, 2801),
        ):
            model, emulated = self._model(name, maker, (count,)), self._folder / f"{name}-emulated.xml"
            options = ("--lowering", "emulate", "--group-size", "32", "--overwrite")
            yield self._run(name, sites, "apply --lowering emulate", "apply", model, "-o", emulated, *options)
            yield self._run(name, sites, "strip", "strip", emulated, "-o", self._out, "--overwrite")

    def blockwise(self) -> Iterator[Line]:
        """A model larger than the memory that is used."""
        folder = self._folder / "llama-8b"
        if not folder.exists():
            folder.mkdir()
            for part in ("openvino_tokenizer.xml", "openvino_tokenizer.bin"):
                shutil.copy(_TOKENIZER / part, folder)
            self._make("model_8b", "make", folder / "openvino_model.xml")
        window = ("--windows", "1", "--window-tokens", "32", "--state", self._folder / "state")
        options = ("--by", "block", "--fast", "--blockwise", *window)
        yield self._run("llama-8b", 7 * 36 + 1, "sensitivity --fast --blockwise", "sensitivity", folder, *options)

    def _commands(
        self, name: str, maker: str, sizes: tuple[int, ...], sites: int, left: str = "kind:mlp.down"
    ) -> Iterator[Line]:
        exempt = (*_GROUP, "--exempt", left)
        model, out = self._model(name, maker, sizes), ("-o", self._out, "--overwrite")
        yield self._run(name, sites, "inspect", "inspect", model)
        yield self._run(name, sites, "plan", "plan", model, *exempt)
        yield self._run(name, sites, "apply", "apply", model, *out, *_GROUP)
        yield self._run(name, sites, f"apply --exempt {left}", "apply", model, *out, *exempt)
        yield self._run(name, sites, "strip", "strip", self._stripped(), "-o", self._out, "--overwrite")

    def _stripped(self) -> Path:
        """The last output as an input."""
        changed = self._folder / "changed.xml"
        for suffix in (".xml", ".bin"):
            self._out.with_suffix(suffix).replace(changed.with_suffix(suffix))
        return changed

    def _model(self, name: str, maker: str, sizes: tuple[int, ...]) -> Path:
        path = self._folder / f"{name}.xml"
        if not path.exists():
            self._make("scale_models", maker, path, *sizes)
        return path

    def _make(self, module: str, maker: str, path: Path, *sizes: int) -> None:
        """The model is made in a process of its own: its memory is none of the measurement's concern."""
        code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import {module} as models; "
        subprocess.run([sys.executable, "-c", f"{code}models.{maker}({str(path)!r}, *{sizes})"], check=True)

    def _config(self, rules: int) -> Path:
        path = self._folder / f"rules-{rules}.yaml"
        lines = [f"- {{match: side.{i}/MatMul, exempt: true}}\n" for i in range(rules)]
        path.write_text("".join(["group_size: 32\n", "rules:\n" if rules else "", *lines]), encoding="utf-8")
        return path

    def _run(self, name: str, sites: int, shown: str, command: str, *arguments: object) -> Line:
        words = [sys.executable, "-m", "ovpass", command, "--quiet", *map(str, arguments)]
        return _measured(name, sites, shown, words)


def _compared(line: Line, before: Line | None) -> Line:
    if before is None:
        return line
    doublings = math.log2(line.sites / before.sites)
    return Line(**{**asdict(line), "doubled": (line.user / before.user) ** (1 / doublings)})


def _measured(name: str, sites: int, shown: str, words: list[str]) -> Line:
    started = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} failed with {process.returncode}")
    return Line(name, sites, shown, round(seconds, 2), round(usage.ru_utime, 2), round(usage.ru_maxrss / 1024))


if __name__ == "__main__":
    main()
