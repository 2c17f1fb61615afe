"""What quantized activations buy SmolLM2 on the CPU, and what they cost it.

    python scripts/bench_smollm2.py [--tokens 512,64,1] [--rounds 15]

SmolLM2-135M with 8-bit weights (scripts/get_smollm2_float.py --int8, made first where it is not there): time of one
inference with that many tokens, by default, with the int8 lowering, with what of it is expected to be faster, and with
the plugin's own quantization. All in turns, in random order; a ratio is that of the medians. Beside it the KL
divergence each costs on text, and that of asymmetric u8 activations per token, emulated.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import get_smollm2 as base
import numpy as np
import openvino as ov
from get_smollm2_float import get_int8

import ovpass
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.feeding import TokenFeed
from ovpass.evaluation.language_model import TextReport
from ovpass.evaluation.options import Evaluation

INT8 = ovpass.Settings(lowering="int8", target="cpu")
OWN = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "32"}
ASYMMETRIC = "u8 asymmetric per token, emulated"
LABELS = {"default": "default (bf16, groups of 32)", "own": "plugin's own (f32, groups of 32)"}
WARM_UP = 2


def main() -> None:
    """Measure everything in one run and print it as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", default="512,64,1", help="numbers of tokens, by comma")
    parser.add_argument("--rounds", type=int, default=15, help="rounds; three times as many below 128 tokens")
    parser.add_argument("--windows", type=int, default=2, help="windows of 256 tokens for the KL divergence")
    arguments = parser.parse_args()
    counts = [int(count) for count in arguments.tokens.split(",")]
    folder = get_int8(base.cache_folder())
    model = ov.Core().read_model(folder / base.IR_FILES[0])
    plans = {"int8": _plan(model, None), **{f"int8, if faster at {count}": _plan(model, count) for count in counts}}
    times = _times(model, plans, counts, arguments.rounds)
    _print(times, _divergence(folder, plans, arguments.windows), plans)


def _plan(model: ov.Model, tokens: int | None) -> ovpass.Plan:
    """The int8 lowering of all sites, or of those that it is expected to make faster."""
    return ovpass.make_plan(model, INT8 if tokens is None else replace(INT8, only_if_faster=True, at_tokens=tokens))


def _times(
    model: ov.Model, plans: Mapping[str, ovpass.Plan], counts: Sequence[int], rounds: int
) -> dict[int, dict[str, float]]:
    """Median milliseconds by number of tokens and variant."""
    core = ov.Core()
    requests = {
        "default": core.compile_model(model, "CPU").create_infer_request(),
        "own": core.compile_model(model, "CPU", OWN).create_infer_request(),
        **{
            name: core.compile_model(ovpass.apply(model, plan), "CPU").create_infer_request()
            for name, plan in plans.items()
        },
    }
    feed = TokenFeed(model, "SmolLM2")
    found = {}
    for count in counts:
        ids = np.random.default_rng(0).integers(1000, 40000, count)
        for request in requests.values():
            for name, value in feed(ids).items():
                request.set_tensor(name, ov.Tensor(value))
        found[count] = _interleaved(requests, rounds * (3 if count < 128 else 1))
    return found


def _interleaved(requests: Mapping[str, ov.InferRequest], rounds: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in requests}
    order, shuffle = list(requests), random.Random(0).shuffle
    for _ in range(WARM_UP + rounds):
        shuffle(order)
        for name in order:
            requests[name].reset_state()
            started = time.perf_counter()
            requests[name].start_async()
            requests[name].wait()
            seconds[name].append(time.perf_counter() - started)
    return {name: 1e3 * statistics.median(each[WARM_UP:]) for name, each in seconds.items()}


def _divergence(folder: Path, plans: Mapping[str, ovpass.Plan], windows: int) -> dict[str, float]:
    """Mean KL divergence in nats per token from the same weights in f32, by variant."""
    with tempfile.TemporaryDirectory(prefix="ovpass-bench-") as scratch:
        candidates = {
            "default": "INFERENCE_PRECISION_HINT=bf16,DYNAMIC_QUANTIZATION_GROUP_SIZE=32",
            "own": ",".join(f"{key}={value}" for key, value in OWN.items()),
            ASYMMETRIC: "per-token,symmetric=false,profile=none",
        }
        for index, (name, plan) in enumerate(plans.items()):
            plan.save(Path(scratch) / f"{index}.yaml")
            candidates[name] = f"plan={scratch}/{index}.yaml"
        named = [f"{folder}@{how}" for how in candidates.values()]
        report = evaluate(folder, named, Evaluation(windows=windows, window_tokens=256))
    assert isinstance(report, TextReport)
    return {name: each.total.kl.mean.value for name, each in zip(candidates, report.candidates, strict=True)}


def _print(
    times: Mapping[int, Mapping[str, float]], divergence: Mapping[str, float], plans: Mapping[str, ovpass.Plan]
) -> None:
    counts = list(times)
    print(f"| | int8 sites | {' | '.join(f'{count} tokens, ms' for count in counts)} | ", end="")
    print(f"{' | '.join(f'{count}, / default' for count in counts)} | KL |")
    print("|---" * (3 + 2 * len(counts)) + "|")
    for name, kl in divergence.items():
        timed = [times[count].get(name) for count in counts]
        shown = ["-" if each is None else f"{each:.1f}" for each in timed]
        ratios = [
            "-" if each is None else f"{each / times[count]['default']:.2f}"
            for count, each in zip(counts, timed, strict=True)
        ]
        sites = str(plans[name].counts()["quantize"]) if name in plans else "-"
        print(f"| {LABELS.get(name, name)} | {sites} | {' | '.join((*shown, *ratios))} | {kl:.4f} |")


if __name__ == "__main__":
    main()
