"""What compressed weights cost a language model, and quantized activations on top of them.

    python scripts/compression_table.py [--model FOLDER] [--work FOLDER] [--windows 4] [--items 250] [--variants a,b]

Each variant is made as `ovpass compress` makes it and judged as `ovpass evaluate --harness last_word` judges it: alone,
and with activations quantized as an Intel GPU with XMX would: per token, its default, and, on the text only, by groups
of 64 and 32. The model is SmolLM2-135M (scripts/get_smollm2_float.py makes it where it is not there), the task that of
word_task.py. What is finished is kept in the work folder, and only what is missing there is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressed_variants import WINDOW_TOKENS, Bench, megabytes, options, summary
from word_task import NAME, write_task

from ovpass.cli.output import print_table
from ovpass.evaluation.candidates import parse_candidate
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.harness import Harness
from ovpass.evaluation.options import Evaluation, HarnessOptions
from ovpass.evaluation.report import report_to_dict

ACTIVATIONS = ("per-token", "64", "32")
ASKED = ("per-token",)
"""Of these, where the words are asked too, which takes longer than the text."""
COLUMNS = ("", "MB", "PPL", "%", "KL", "Top-1", "Words", "Seconds")


@dataclass(frozen=True)
class Asked(Bench):
    """The same bench with the text under every quantization of activations, and a multiple-choice task."""

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
    given = options(__doc__, "compression-table", items=250)
    bench = Asked(given.model, given.work, given.windows, given.items)
    items = write_task(bench.model, bench.work / "tasks", bench.items)
    print_table(COLUMNS, list(rows(bench, given.variants)), numeric=COLUMNS[1:])
    print(
        f"{bench.windows} windows of {WINDOW_TOKENS} tokens. %: change of the perplexity; KL in nats per token. Words:"
    )
    print(f"{items} items of {NAME}, right in percent, with standard error. Seconds: to compress.")


def rows(bench: Asked, variants: list[str]) -> Iterator[tuple[object, ...]]:
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


if __name__ == "__main__":
    main()
