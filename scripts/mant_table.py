"""M-ANT beside other 4-bit types, for weights, KV caches and activations, on SmolLM2-135M.

    python scripts/mant_table.py [--model FOLDER] [--work FOLDER] [--windows 2] [--variants a,b]

Weights in groups of 64 as `ovpass compress` makes them; KV caches in 4 bits, emulated, read in chunks of 64 tokens;
activations in int8, in groups of 64. The table has the KL divergence from the model in floating point, in nats per
token, and the change of the perplexity in percent. OliVe (Guo et al., ISCA 2023, arXiv 2304.07493) is imitated: in a
pair with an outlier the smaller number becomes 0, and the larger one of {12, 16, 24, 32, 48, 64, 96} steps; the step of
a group is the one with the least squared error. What is finished is kept in the work folder.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import get_smollm2 as base
import numpy as np
import numpy.typing as npt
import openvino as ov
from compressed_variants import GROUP, VARIANTS, WINDOW_TOKENS, Bench
from get_smollm2_float import get_float

from ovpass.cli.output import print_table
from ovpass.compression.recipe import Recipe
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.options import Evaluation
from ovpass.evaluation.report import report_to_dict
from ovpass.formats import FORMATS
from ovpass.formats.base import ChainForm, EncodedWeights, Encoding
from ovpass.passes.emulate import ActivationQuantizer, Emulate
from ovpass.sites import find_compressed_matmuls

Array = npt.NDArray[Any]

OLIVE, FLOAT = "OliVe-like", "f16"
VARIANTS |= {
    "M-ANT": Recipe("mant4", group_size=GROUP),
    "M-ANT GPTQ": Recipe("mant4", group_size=GROUP, gptq=True),
}
SHOWN = (FLOAT, "int4 rounded", "int4 GPTQ", "nf4", OLIVE, "M-ANT", "M-ANT GPTQ")
KV = {"u4": "kv_key=u4,kv_value=u4", "M-ANT": "kv_key=mant4a:window-32,kv_value=mant4a:window-32"}
CHUNK = 64
OUTLIERS = np.array([12, 16, 24, 32, 48, 64, 96])
LARGEST = 7
STEPS = np.linspace(0.15, 1.0, 18)
"""Steps that are tried, as a share of the one with which the largest number of a group is no outlier."""
COLUMNS = ("Weights", "KV", "KL", "PPL %", "KL, int8 activations", "PPL %")


def main() -> None:
    """Make and judge what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a folder in floating point  [default: SmolLM2-135M]")
    parser.add_argument("--work", type=Path, default=Path("mant-table"), help="folder for what is made")
    parser.add_argument("--windows", type=int, default=2, help=f"windows of {WINDOW_TOKENS} tokens")
    parser.add_argument("--variants", default=",".join(SHOWN), help=f"of {', '.join(SHOWN)}, by comma")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    model = arguments.model or get_float(base.cache_folder())
    bench = Bench(model.resolve(), arguments.work.resolve(), arguments.windows, 0)
    print_table(COLUMNS, list(rows(bench, arguments.variants.split(","))), numeric=COLUMNS[2:])


def rows(bench: Bench, variants: list[str]) -> Iterator[tuple[object, ...]]:
    """For each type of weights a row for each KV cache."""
    for variant in variants:
        folder = made(bench, variant)
        folders = [folder] if variant == FLOAT else [folder, with_activations(bench, variant, folder)]
        found = [judged(bench, variant, place) for place in folders]
        for number, kv in enumerate((FLOAT, *KV)):
            cells = [cell for candidates in found for cell in summary(candidates[number])]
            yield variant if not number else None, kv, *cells, *[None] * (4 - len(cells))


def made(bench: Bench, variant: str) -> Path:
    """The folder with weights in that type."""
    if variant == FLOAT:
        return bench.model
    if variant != OLIVE:
        return bench.compressed(variant)[0]
    folder = bench.work / variant
    if not folder.exists():
        changed = ov.Core().read_model(bench.model / base.IR_FILES[0])
        for node in changed.get_ordered_ops():
            if node.get_type_name() == "MatMul" and (weights := constant(node.input_value(1))) is not None:
                encoded = olive(weights.astype(np.float32))
                name = f"{node.get_friendly_name()}/olive"
                node.input(1).replace_source_output(FORMATS["integer"].write(encoded, ChainForm(name, f"{name}/")))
        save(changed, bench.model, folder)
    return folder


def constant(weights: ov.Output) -> Array | None:
    """The values of a matrix [N, K], behind a Convert or not; None for anything else and for the last layer."""
    node = weights.get_node()
    node = node.input_value(0).get_node() if node.get_type_name() == "Convert" else node
    if node.get_type_name() != "Constant" or weights.get_partial_shape()[0].get_length() > 8192:
        return None
    return np.asarray(node.get_data())


def olive(weights: Array) -> EncodedWeights:
    """Codes of -96 to 96, of which only those of 4 bits are used, with a scale a group."""
    groups = weights.reshape(-1, GROUP)
    largest = np.abs(groups).max(1, keepdims=True) / LARGEST
    best, chosen = np.full((len(groups), 1), np.inf), (np.zeros(groups.shape), largest)
    for share in STEPS:
        step = np.maximum(share * largest, np.finfo(np.float32).tiny)
        codes = olive_codes(groups / step)
        error = np.square(codes * step - groups).sum(1, keepdims=True)
        better = error < best
        best = np.where(better, error, best)
        chosen = (np.where(better, codes, chosen[0]), np.where(better, step, chosen[1]))
    scale = chosen[1].reshape(len(weights), -1).astype(np.float32)
    return EncodedWeights(
        Encoding("integer", "i8", GROUP, scale_type="f32"), chosen[0].reshape(weights.shape).astype(np.int8), scale
    )


def olive_codes(steps: Array) -> Array:
    """Of numbers in steps: the nearest of -7 to 7, and in pairs with an outlier that and 0."""
    pairs = steps.reshape(*steps.shape[:-1], -1, 2)
    size = np.abs(pairs)
    outlier = (size > LARGEST + 0.5) & (size == size.max(-1, keepdims=True))
    far = OUTLIERS[np.abs(size[..., None] - OUTLIERS).argmin(-1)] * np.sign(pairs)
    near = np.where(outlier.any(-1, keepdims=True), 0, np.rint(pairs).clip(-LARGEST, LARGEST))
    return np.where(outlier, far, near).reshape(steps.shape)


def with_activations(bench: Bench, variant: str, folder: Path) -> Path:
    """The same model with the activation of every layer in int8, in groups."""
    target = bench.work / f"{folder.name}-a8"
    if not target.exists():
        model = ov.Core().read_model(folder / base.IR_FILES[0])
        how = ActivationQuantizer(GROUP, 0, -1, symmetric=True, half=False)
        sites = find_compressed_matmuls(model)
        done = Emulate({site.name: how for site in sites}).run(model)
        print(f"{variant}: {done['sites']} activations in int8")
        save(model, folder, target)
    return target


def save(model: ov.Model, source: Path, target: Path) -> None:
    """Write a model beside the other files of its source."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("openvino_model.*"))
    ov.save_model(model, target / base.IR_FILES[0], compress_to_fp16=False)


def judged(bench: Bench, variant: str, folder: Path) -> list[dict[str, Any]]:
    """What each KV cache costs on top, f16 first, as `ovpass evaluate --json` tells it."""
    candidates = [str(folder), *(f"{folder}@{setting}" for setting in KV.values())]
    how = Evaluation(windows=bench.windows, window_tokens=WINDOW_TOKENS, chunk_tokens=CHUNK)
    name = f"{variant} {folder.name} kv"
    report, _ = bench.kept(name, lambda: report_to_dict(evaluate(bench.model, candidates, how)))
    return list(report["candidates"])


def summary(found: dict[str, Any]) -> tuple[str, str]:
    """KL and change of the perplexity."""
    return f"{found['kl']['mean']:.3f}", f"{found['perplexity_delta_percent']:+.1f}"


if __name__ == "__main__":
    main()
