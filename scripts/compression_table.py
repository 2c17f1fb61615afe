"""What compressed weights cost a language model, and quantized activations on top of them.

    python scripts/compression_table.py [--model FOLDER] [--work FOLDER] [--windows 4] [--items 250] [--variants a,b]

Each variant is made as `ovpass compress` makes it and judged as `ovpass evaluate --harness last_word` judges it: alone,
and with activations quantized as an Intel GPU with XMX would: per token, its default, and, on the text only, by groups
of 64 and 32. The model is SmolLM2-135M (scripts/get_smollm2_float.py makes it where it is not there), the task that of
word_task.py. What is finished is kept in the work folder, and only what is missing there is done.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import get_smollm2 as base
from get_smollm2_float import get_float
from word_task import NAME, write_task

from ovpass.cli.output import print_table
from ovpass.compression.compress import compress_source
from ovpass.compression.recipe import Recipe
from ovpass.evaluation.candidates import parse_candidate
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.harness import Harness
from ovpass.evaluation.options import Evaluation, HarnessOptions
from ovpass.evaluation.report import report_to_dict

GROUP = 64
"""The largest that divides every K of SmolLM2, 576 and 1536."""
VARIANTS = {
    "int8": Recipe("int8_sym"),
    "int8 smoothed": Recipe("int8_sym", smooth=0.5),
    "int4 rounded": Recipe("int4_sym", group_size=GROUP),
    "int4 AWQ": Recipe("int4_sym", group_size=GROUP, awq=True),
    "int4 AWQ + SE": Recipe("int4_sym", group_size=GROUP, awq=True, scale_estimation=True),
    "int4 smoothed": Recipe("int4_sym", group_size=GROUP, awq=True, scale_estimation=True, smooth=0.5),
    "int4 GPTQ": Recipe("int4_sym", group_size=GROUP, gptq=True),
    "nf4": Recipe("nf4", group_size=GROUP),
}
ACTIVATIONS = ("per-token", "64", "32")
ASKED = ("per-token",)
"""Of these, where the words are asked too, which takes longer than the text."""
COLUMNS = ("", "MB", "PPL", "%", "KL", "Top-1", "Words", "Seconds")
WINDOW_TOKENS = 512


@dataclass(frozen=True)
class Bench:
    """The model, how it is judged, and the folder in which results are kept."""

    model: Path
    work: Path
    windows: int
    items: int

    def kept(self, name: str, make: Callable[[], Any]) -> tuple[Any, float]:
        """What `make` gives, as JSON, and the seconds it took; read from the work folder where it is there."""
        path = self.work / f"{name.replace(' ', '_')}.json"
        question = {"model": str(self.model), "windows": self.windows, "items": self.items}
        found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if found.get("question") != question:
            print(f"{name} ...", file=sys.stderr)
            started = time.perf_counter()
            found = {"question": question, "answer": make(), "seconds": time.perf_counter() - started}
            path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        return found["answer"], found["seconds"]

    def compressed(self, variant: str) -> tuple[Path, float]:
        """The folder of a variant, and the seconds it took."""
        folder = self.work / variant.replace(" ", "_")
        recipe = VARIANTS[variant]
        _, seconds = self.kept(
            f"{variant} compressed", lambda: str(compress_source(self.model, folder, recipe, overwrite=True).output)
        )
        return folder, seconds

    def judged(self, variant: str, folder: Path) -> Any:
        """The report of `ovpass evaluate --json` on every quantization of activations."""
        candidates = [f"{folder}@{group}" for group in ACTIVATIONS]
        how = Evaluation(windows=self.windows, window_tokens=WINDOW_TOKENS)
        return self.kept(f"{variant} text", lambda: report_to_dict(evaluate(self.model, candidates, how)))[0]

    def words(self, name: str, candidate: str) -> str:
        """Accuracy in the multiple-choice task and its standard error, in percent."""
        harness = HarnessOptions([NAME], self.work / "tasks")

        def make() -> list[float]:
            score = Harness(harness, self.model).run(parse_candidate(candidate), []).reference[NAME]["acc"]
            return [100 * score.value, 100 * (score.stderr or 0)]

        (accuracy, error), _ = self.kept(f"{name} words", make)
        return f"{accuracy:.1f} ± {error:.1f}"


def main() -> None:
    """Make and judge what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a folder in floating point  [default: SmolLM2-135M]")
    parser.add_argument("--work", type=Path, default=Path("compression-table"), help="folder for what is made")
    parser.add_argument("--windows", type=int, default=4, help=f"windows of {WINDOW_TOKENS} tokens")
    parser.add_argument("--items", type=int, default=250, help="items of the multiple-choice task, at most")
    parser.add_argument("--variants", default=",".join(VARIANTS), help=f"of {', '.join(VARIANTS)}, by comma")
    arguments = parser.parse_args()
    model = arguments.model or get_float(base.cache_folder())
    bench = Bench(model.resolve(), arguments.work.resolve(), arguments.windows, arguments.items)
    items = write_task(bench.model, bench.work / "tasks", bench.items)
    print_table(COLUMNS, list(rows(bench, arguments.variants.split(","))), numeric=COLUMNS[1:])
    print(
        f"{bench.windows} windows of {WINDOW_TOKENS} tokens. %: change of the perplexity; KL in nats per token. Words:"
    )
    print(f"{items} items of {NAME}, right in percent, with standard error. Seconds: to compress.")


def rows(bench: Bench, variants: list[str]) -> Iterator[tuple[object, ...]]:
    """The float model, then each variant alone and with activations quantized."""
    for number, variant in enumerate(variants):
        folder, seconds = bench.compressed(variant)
        report = bench.judged(variant, folder)
        if not number:
            right = bench.words("float", str(bench.model))
            yield "float", megabytes(bench.model), f"{report['reference_perplexity']:.2f}", *[None] * 3, right, None
        own = summary(report["candidates"][0]["weights"])
        yield variant, megabytes(folder), *own, bench.words(variant, str(folder)), f"{seconds:.0f}"
        for group, judged in zip(ACTIVATIONS, report["candidates"], strict=True):
            words = bench.words(f"{variant} {group}", f"{folder}@{group}") if group in ASKED else None
            yield f"  {group}", None, *summary(judged), words, None


def summary(judged: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Perplexity, its change, KL and agreement of a comparison as `ovpass evaluate --json` gives it."""
    return (
        f"{judged['perplexity']:.2f}",
        f"{judged['perplexity_delta_percent']:+.1f}",
        f"{judged['kl']['mean']:.2g}",
        f"{judged['top1_agreement']:.1f}",
    )


def megabytes(folder: Path) -> str:
    """The size of the weights."""
    return f"{(folder / base.IR_FILES[1]).stat().st_size / 1e6:.1f}"


if __name__ == "__main__":
    main()
