"""What compressed weights, and quantized activations on top of them, cost a language model in what it writes.

    python scripts/before_and_after.py [--work FOLDER] [--windows 4] [--items 50] [--variants a,b=FOLDER]

Each variant is made as `ovpass compress` makes it, or is the folder that it names, such as `ovpass convert` makes of a
packed checkpoint (quantize_smollm2.py). It is judged as `ovpass evaluate --harness` judges it: alone, and with
activations quantized as an Arc B580 would by default. The tasks are those that come with ovpass: word problems with a
chain of steps, and questions in a conversation about a passage. The model is SmolLM2-135M (get_smollm2_float.py makes
it where it is not there). What is finished is kept in the work folder, and only what is missing there is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressed_variants import WINDOW_TOKENS, Bench, megabytes, options, summary

from ovpass.cli.output import print_table
from ovpass.errors import SettingsError
from ovpass.evaluation.candidates import parse_candidate
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.harness import Harness
from ovpass.evaluation.options import Evaluation, HarnessOptions
from ovpass.evaluation.report import report_to_dict

SHOWN = ("int8", "int4 rounded", "int4 AWQ", "int4 GPTQ", "nf4")
"""Of the variants of compressed_variants.py."""
DEVICE = "per-token,profile=arc-b580"
TASKS = {"ovpass_arithmetic": "exact_match (strict-match)", "ovpass_conversation": "f1"}
"""With the metric that is shown."""
BATCH = 10
COLUMNS = ("", "MB", "PPL", "%", "KL", "Arithmetic", "Conversation")


@dataclass(frozen=True)
class Judged(Bench):
    """The same bench with tasks that generate."""

    def report(self, variant: str, folder: Path) -> Any:
        """The report of `ovpass evaluate --json`, without tasks; of the weights alone where nothing is quantized."""
        how = Evaluation(windows=self.windows, window_tokens=WINDOW_TOKENS)

        def make() -> dict[str, Any]:
            try:
                return report_to_dict(evaluate(self.model, [f"{folder}@{DEVICE}"], how))
            except SettingsError:
                return report_to_dict(evaluate(self.model, [folder], how))

        return self.kept(f"{variant} predictions", make)[0]

    def tasks(self, name: str, candidate: str) -> list[str]:
        """Each task's score and its standard error, in percent."""

        def make() -> dict[str, list[float]]:
            harness = Harness(HarnessOptions([*TASKS], limit=self.items, batch=BATCH), self.model)
            scores = harness.run(parse_candidate(candidate), []).reference
            found = {task: scores[task][metric] for task, metric in TASKS.items()}
            return {task: [100 * score.value, 100 * (score.stderr or 0)] for task, score in found.items()}

        return [f"{value:.0f} ± {error:.0f}" for value, error in self.kept(f"{name} tasks", make)[0].values()]


def main() -> None:
    """Make and judge what is missing, and print the table."""
    given = options(__doc__, "before-and-after", items=50, variants=SHOWN)
    bench = Judged(given.model, given.work, given.windows, given.items)
    print_table(COLUMNS, list(rows(bench, given.variants)), numeric=COLUMNS[1:])
    print(f"{bench.windows} windows of {WINDOW_TOKENS} tokens, {bench.items} items of each task. %: change of the")
    print("perplexity; KL in nats per token. Arithmetic: right answers; Conversation: F1 of words, both in percent")
    print("with the standard error. Indented: activations as on an Arc B580, emulated.")


def rows(bench: Judged, variants: list[str]) -> Iterator[tuple[object, ...]]:
    """The float model, then each variant alone and with activations quantized."""
    for number, variant in enumerate(variants):
        name, _, made = variant.partition("=")
        folder = Path(made).resolve() if made else bench.compressed(name)[0]
        report = bench.report(name, folder)
        if not number:
            scores = bench.tasks("float", str(bench.model))
            yield "float", megabytes(bench.model), f"{report['reference_perplexity']:.2f}", None, None, *scores
        (judged,) = report["candidates"]
        weights, together = (summary(values)[:3] for values in (judged["weights"], judged))
        yield name, megabytes(folder), *weights, *bench.tasks(name, str(folder))
        if judged["model"].endswith(DEVICE):
            yield "  arc-b580", None, *together, *bench.tasks(f"{name} device", f"{folder}@{DEVICE}")


if __name__ == "__main__":
    main()
