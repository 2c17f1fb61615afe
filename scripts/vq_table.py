"""What vector-quantized weights cost a language model, beside integers of as many bits.

    python scripts/vq_table.py [--model FOLDER] [--work FOLDER] [--windows 8] [--variants a,b]

Each variant is made as `ovpass compress` makes it, embedding and head left as they are, and judged as `ovpass evaluate`
judges it, weights alone, on the same text and windows. Prints bits a weight, KL and seconds with their limits; the
exit code is 1 if one is beyond its own. The model is SmolLM2-135M (scripts/get_smollm2_float.py makes it where it is
not there). What is finished is kept in the work folder, and only what is missing there is done.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import get_smollm2 as base
from get_smollm2_float import get_float

from ovpass.cli.output import print_table
from ovpass.compression.calibration import Calibration
from ovpass.compression.compress import compress_source
from ovpass.compression.recipe import Recipe
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.options import Evaluation
from ovpass.evaluation.report import report_to_dict
from ovpass.sites.find import CompressedMatMul, find_compressed_matmuls
from ovpass.targets.costs.work import weight_bytes

GROUP = 64
"""The largest that divides every K of SmolLM2, 576 and 1536."""
WINDOW_TOKENS = 512
CALIBRATION = Calibration(samples=48, tokens=WINDOW_TOKENS)
MINUTES = 5
"""The limit on two cores for a preset."""
COLUMNS = ("", "Bits", "MB", "PPL", "KL", "Limit", "Median", "Top-1", "Seconds")


@dataclass(frozen=True)
class Variant:
    """How weights are made, the largest KL that is expected, and whether time counts."""

    recipe: Recipe
    limit: float | None = None
    preset: bool = False


VARIANTS = {
    "int4 GPTQ": Variant(Recipe("int4_sym", group_size=GROUP, gptq=True, backup_mode="none")),
    "vq4": Variant(Recipe("vq4", backup_mode="none"), 0.085, preset=True),
    "vq4 d=2 256": Variant(Recipe("vq4", vector_length=2, entries=(256,), backup_mode="none"), 0.125),
    "int3 GPTQ": Variant(Recipe("int3_sym", group_size=GROUP, gptq=True, backup_mode="none")),
    "vq3": Variant(Recipe("vq3", backup_mode="none"), 0.47, preset=True),
    "int2 GPTQ": Variant(Recipe("int2_sym", group_size=GROUP, gptq=True, backup_mode="none")),
    "vq2": Variant(Recipe("vq2", backup_mode="none"), preset=True),
    "vq2 bits=2.5": Variant(Recipe("vq2", bits=2.5, backup_mode="none")),
    "vq2 bits=3.04": Variant(Recipe("vq2", bits=3.04, backup_mode="none"), 0.304),
    "vq2 bits=3.5": Variant(Recipe("vq2", bits=3.5, backup_mode="none")),
    "vq2 max-kl=0.2": Variant(Recipe("vq2", max_kl=0.2, backup_mode="none")),
    "vq2 d=8 2x256": Variant(Recipe("vq2", vector_length=8, entries=(256, 256), backup_mode="none"), 0.95),
}


@dataclass(frozen=True)
class Bench:
    """The model, the number of windows, and the folder in which results are kept."""

    model: Path
    work: Path
    windows: int

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` gives, as JSON; read from the work folder where it is there."""
        path = self.work / f"{name.replace(' ', '_')}.json"
        question = {"model": str(self.model), "windows": self.windows}
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if found.get("question") != question:
            print(f"{name} ...", file=sys.stderr)
            found = {"question": question, "answer": make()}
            path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return found["answer"]

    def compressed(self, name: str) -> dict[str, Any]:
        """The folder of a variant, bits a weight of its sites, and the seconds it took."""

        def make() -> dict[str, Any]:
            started = time.perf_counter()
            folder = self.work / name.replace(" ", "_")
            done = compress_source(self.model, folder, VARIANTS[name].recipe, calibration=CALIBRATION, overwrite=True)
            seconds = time.perf_counter() - started
            return {"folder": str(done.output), "bits": bits(done.output), "seconds": seconds}

        answer: dict[str, Any] = self.kept(f"{name} compressed", make)
        return answer

    def judged(self, name: str, folder: str) -> dict[str, Any]:
        """The weights of a variant alone against the model, as `ovpass evaluate --json` gives it."""
        how = Evaluation(windows=self.windows, window_tokens=WINDOW_TOKENS, profile="none")
        report = self.kept(f"{name} text", lambda: report_to_dict(evaluate(self.model, [folder], how)))
        found: dict[str, Any] = report["candidates"][0]
        return found


def bits(folder: Path) -> float:
    """Bits a weight of all sites, with scales and codebooks, each of these counted once."""
    import openvino as ov  # noqa: PLC0415 - not needed to print help

    sites = find_compressed_matmuls(ov.Core().read_model(folder / base.IR_FILES[0]))
    stored = sum(8 * weight_bytes(site) for site in sites) + 8 * sum(codebook_bytes(sites).values())
    return stored / sum(site.k * site.n for site in sites)


def codebook_bytes(sites: list[CompressedMatMul]) -> dict[int, int]:
    """By Constant."""
    from ovpass.formats.vector_chain import VectorChain  # noqa: PLC0415

    chains = [(site, site.weights) for site in sites if isinstance(site.weights, VectorChain)]
    return {
        lookup.codebook: site.graph.node(lookup.codebook).get_byte_size()
        for site, chain in chains
        for lookup in chain.lookups
    }


def main() -> None:
    """Make and judge what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a folder in floating point  [default: SmolLM2-135M]")
    parser.add_argument("--work", type=Path, default=Path("vq-table"), help="folder for what is made")
    parser.add_argument("--windows", type=int, default=8, help=f"windows of {WINDOW_TOKENS} tokens")
    parser.add_argument("--variants", default=",".join(VARIANTS), help=f"of {', '.join(VARIANTS)}, by comma")
    arguments = parser.parse_args()
    model = arguments.model or get_float(base.cache_folder())
    bench = Bench(model.resolve(), arguments.work.resolve(), arguments.windows)
    bench.work.mkdir(parents=True, exist_ok=True)
    found = list(rows(bench, arguments.variants.split(",")))
    print_table(COLUMNS, [row for row, _ in found], numeric=COLUMNS[1:])
    print(f"{bench.windows} windows of {WINDOW_TOKENS} tokens. KL in nats per token. Seconds: to compress.")
    if missed := [str(row[0]) for row, good in found if not good]:
        print(f"Beyond the limit: {', '.join(missed)}", file=sys.stderr)
        sys.exit(1)


def rows(bench: Bench, variants: list[str]) -> Iterator[tuple[tuple[object, ...], bool]]:
    """A row for each variant, and whether it is within its limits."""
    for name in variants:
        variant, made = VARIANTS[name], bench.compressed(name)
        judged = bench.judged(name, made["folder"])
        kl, limit = judged["kl"]["mean"], variant.limit
        size = (Path(made["folder"]) / base.IR_FILES[1]).stat().st_size / 1e6
        good = (limit is None or kl <= limit) and (not variant.preset or made["seconds"] <= 60 * MINUTES)
        yield (
            name, f"{made['bits']:.3f}", f"{size:.1f}", f"{judged['perplexity']:.2f}", f"{kl:.3f}",
            limit, f"{judged['kl']['median']:.3f}", f"{judged['top1_agreement']:.1f}", f"{made['seconds']:.0f}",
        ), good  # fmt: skip


if __name__ == "__main__":
    main()
