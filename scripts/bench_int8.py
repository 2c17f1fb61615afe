"""How fast the int8 lowering is on the CPU: against the same IR by default, the plugin's own quantization, its limit.

python scripts/bench_int8.py                      # two 2048 x 2048 layers: default, dq, int8 and the limit
python scripts/bench_int8.py --forms              # all forms of the subgraph that were tried
python scripts/bench_int8.py --models             # decoders and Q, K, V
python scripts/bench_int8.py --merged --copies 5  # decoders with Q, K and V as one MatMul, and all nodes counted
python scripts/bench_int8.py --grid --json        # one layer in a model, over K, N and tokens: for a cost model
python scripts/bench_int8.py --int4               # 4-bit weights against the same re-quantized to 8 bits
python scripts/bench_int8.py --profile            # node by node

All variants are run in turns, in random order each round; a ratio is that of the medians.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import openvino as ov

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import int8_models as models  # noqa: E402
from int8_timing import Times, interleave, profile  # noqa: E402
from int8_variants import DQ, FORMS, MAIN, Variant, ovpass_int8, plain  # noqa: E402

from ovpass.passes.editing import is_inserted  # noqa: E402
from ovpass.sites.inserted_ops import MARK  # noqa: E402

SIZES = (576, 1024, 2048, 4096, 8192)
GRID_TOKENS = (1, 16, 64, 256, 512, 1024, 2048)
CELL_SECONDS = 3.0
INT4_SHAPES = ((2048, 2048), (4096, 4096))
DECODERS = {
    "decoder 576/1536": partial(models.decoder, 576, 1536, 9),
    "decoder 1024/2816": partial(models.decoder, 1024, 2816, 16),
    "decoder 2048/5632": partial(models.decoder, 2048, 5632, 16),
}
MODELS: dict[str, Callable[[], ov.Model]] = {
    **DECODERS,
    "Q, K, V of 2048": partial(models.trio, 2048),
    "the same, merged": partial(models.merged_trio, 2048),
}


@click.command(help=__doc__.splitlines()[0])
@click.option("--forms", "what", flag_value="forms", help="All forms of the subgraph.")
@click.option("--models", "what", flag_value="models", help="Decoders, and Q, K, V as one MatMul and as three.")
@click.option("--merged", "what", flag_value="merged", help="Decoders with Q, K and V as one MatMul.")
@click.option("--grid", "what", flag_value="grid", help="One layer over K, N and tokens.")
@click.option("--int4", "what", flag_value="int4", help="4-bit weights, re-quantized or not.")
@click.option("--profile", "what", flag_value="profile", help="Where the time goes, node by node.")
@click.option("--variant", "chosen", multiple=True, help="Only these variants.  [--profile, --forms]")
@click.option("--tokens", default="1,64,512", show_default=True, help="Numbers of tokens, by comma.")
@click.option("--rounds", default=31, show_default=True, help="Rounds, each of which runs every variant once.")
@click.option("--copies", default=1, show_default=True, help="Times to compile each model anew.  [--merged]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def main(what: str | None, chosen: Sequence[str], tokens: str, rounds: int, copies: int, as_json: bool) -> None:
    counts = [int(count) for count in tokens.split(",")]
    if what == "profile":
        found = list(_profiles(chosen or ("default", "int8", "static"), counts, rounds))
    elif what == "grid":
        found = list(_grid(rounds))
    elif what == "int4":
        found = list(_int4(counts, rounds))
    elif what == "models":
        found = list(_models(counts, rounds))
    elif what == "merged":
        found = list(_merged(counts, rounds, copies))
    else:
        variants = {**MAIN, **(FORMS if what == "forms" else {})}
        picked = {name: variants[name] for name in dict.fromkeys(["default", *(chosen or variants)])}
        found = list(_compared("2 x 2048x2048", models.chain([(2048, 2048)] * 2), picked, counts, rounds))
    if as_json:
        print(json.dumps({"device": _device(), "openvino": ov.__version__, "found": found}, indent=1))


def _compared(
    title: str, model: ov.Model, variants: Mapping[str, Variant], counts: Sequence[int], rounds: int
) -> Iterator[dict[str, Any]]:
    """All variants of one model, interleaved; printed as a table."""
    k = model.input("x").partial_shape[-1].get_length()
    rewritten = {name: variant.rewrite(model) for name, variant in variants.items()}
    compiled = {name: _compile(rewritten[name], variant.properties) for name, variant in variants.items()}
    form = _form(rewritten["int8"]) if "int8" in rewritten else {}
    if form:
        _say(
            "\n{title}: {activations} activations of {matmuls} MatMuls, {apart} before an output".format(
                title=title, **form
            )
        )
    for tokens in counts:
        times = interleave(compiled, _inputs(tokens, k), rounds * (3 if tokens < 128 else 1))
        _print_table(f"{title}, {tokens} tokens", times)
        yield {"model": title, "tokens": tokens, "form": form, "microseconds": _microseconds(times)}


def _form(model: ov.Model) -> dict[str, int]:
    """What ovpass chose its form by: activations that MatMuls share, and those with a MatMul behind their scale.

    The others have the form that the table calls unit.
    """
    roles = Counter(node.get_friendly_name().rpartition(MARK)[2] for node in model.get_ops() if is_inserted(node))
    return {"activations": roles["codes"], "matmuls": roles["rescale"], "apart": roles["apart"]}


def _models(counts: Sequence[int], rounds: int) -> Iterator[dict[str, Any]]:
    variants = {**MAIN, "scale-first": FORMS["scale-first"], "unit": FORMS["unit"]}
    for title, build in MODELS.items():
        yield from _compared(title, build(), variants, counts, rounds)


def _merged(counts: Sequence[int], rounds: int, copies: int) -> Iterator[dict[str, Any]]:
    """Where the weights of a compiled model lie changes its time by some percent, so that each is compiled anew."""
    for title, build in DECODERS.items():
        separate, merged = build(), build(merged=True)
        forms = {"default": separate, "int8": ovpass_int8(separate), "static": MAIN["static"].rewrite(separate)}
        forms |= {"merged": merged, "merged int8": ovpass_int8(merged)}
        _say(
            f"\n{title}, nodes: " + ", ".join(f"{name} {_executed(_compile(form, {}))}" for name, form in forms.items())
        )
        k = separate.input("x").partial_shape[-1].get_length()
        for tokens in counts:
            found: dict[str, list[Times]] = {name: [] for name in forms}
            for _ in range(copies):
                compiled = {name: _compile(form, {}) for name, form in forms.items()}
                times = interleave(compiled, _inputs(tokens, k), rounds * (3 if tokens < 128 else 1))
                for name, each in times.items():
                    found[name].append(each)
            pooled = {name: Times(sum((each.seconds for each in copied), ())) for name, copied in found.items()}
            _print_table(f"{title}, {tokens} tokens", pooled)
            yield {"model": title, "tokens": tokens, "microseconds": _microseconds(pooled)}


def _executed(compiled: ov.CompiledModel) -> int:
    """How many nodes of the execution graph are no constants."""
    kinds = [node.get_rt_info()["layerType"].astype(str) for node in compiled.get_runtime_model().get_ops()]
    return sum(kind != "Const" for kind in kinds)


def _int4(counts: Sequence[int], rounds: int) -> Iterator[dict[str, Any]]:
    variants = {"default": MAIN["default"], "dq": Variant(plain, {**DQ, "DYNAMIC_QUANTIZATION_GROUP_SIZE": "64"}, "")}
    variants["int8"] = MAIN["int8"]
    for k, n in INT4_SHAPES:
        mebibytes = {4: k * n * (0.5 + 4 / 64) / 2**20, 8: (k * n + 4 * n) / 2**20}
        _say(f"weights of {k} x {n}: {mebibytes[4]:.2f} MiB in 4 bits, {mebibytes[8]:.2f} MiB in 8 bits")
        model = models.chain([(k, n)] * 2, bits=4)
        for found in _compared(f"2 x {k}x{n}, i4 in groups of 64", model, variants, counts, rounds):
            yield {**found, "mebibytes": mebibytes}


def _grid(rounds: int) -> Iterator[dict[str, Any]]:
    _say(f"{'K':>6}{'N':>6}{'tokens':>8}{'default us':>12}{'dq':>8}{'int8':>8}")
    for k, n in product(SIZES, SIZES):
        model = models.framed(k, n)
        compiled = {
            name: _compile(MAIN[name].rewrite(model), MAIN[name].properties) for name in ("default", "dq", "int8")
        }
        compiled["frame"] = _compile(models.frame(k, n), {})
        for tokens in GRID_TOKENS:
            times = interleave(
                compiled, _inputs(tokens, models.THIN), rounds * (3 if tokens < 128 else 1), CELL_SECONDS
            )
            default = times["default"]
            ratios = "".join(f"{times[name].ratio(default):8.3f}" for name in ("dq", "int8"))
            _say(f"{k:6}{n:6}{tokens:8}{default.median * 1e6:12.0f}{ratios}")
            yield {"k": k, "n": n, "tokens": tokens, "microseconds": _microseconds(times)}


def _profiles(chosen: Sequence[str], counts: Sequence[int], rounds: int) -> Iterator[dict[str, Any]]:
    variants = {**MAIN, **FORMS}
    model = models.chain([(2048, 2048)] * 2)
    for name, tokens in product(chosen, counts):
        variant = variants[name]
        compiled = _compile(variant.rewrite(model), {**variant.properties, "PERF_COUNT": "YES"})
        nodes = profile(compiled, _inputs(tokens, 2048), rounds)
        _say(f"\n{name}, {tokens} tokens: {sum(node.microseconds for node in nodes):.0f} us in nodes")
        for node in nodes:
            _say(f"{node.microseconds:9.0f}  {node.kind[:28]:28} {node.precisions:12} {node.kernel}")
        yield {"variant": name, "tokens": tokens, "nodes": [vars(node) for node in nodes]}


def _print_table(title: str, times: Mapping[str, Times]) -> None:
    default, limit = times["default"], times.get("static")
    _say(f"\n{title}")
    _say(f"{'':18}{'median us':>10}{'best us':>10}{'/ default':>10}{'/ dq':>8}{'/ limit':>8}{'best / default':>16}")
    for name, each in times.items():
        others = (f"{each.ratio(other):8.3f}" if other else f"{'-':>8}" for other in (times.get("dq"), limit))
        best = each.best / default.best
        row = f"{name:18}{each.median * 1e6:10.0f}{each.best * 1e6:10.0f}{each.ratio(default):10.3f}"
        _say(row + "".join(others) + f"{best:16.3f}")


def _microseconds(times: Mapping[str, Times]) -> dict[str, dict[str, float]]:
    return {
        name: {"median": round(each.median * 1e6, 1), "best": round(each.best * 1e6, 1), "rounds": len(each.seconds)}
        for name, each in times.items()
    }


def _say(line: str) -> None:
    """Tables go to standard error where standard output is JSON, so that a long run shows how far it is."""
    print(line, file=sys.stderr if "--json" in sys.argv else sys.stdout, flush=True)


def _inputs(tokens: int, k: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, tokens, k), dtype=np.float32)


def _compile(model: ov.Model, properties: Mapping[str, str]) -> ov.CompiledModel:
    return ov.Core().compile_model(model, "CPU", dict(properties))


def _device() -> dict[str, Any]:
    core = ov.Core()
    names = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES", "INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS")
    return {name: str(core.get_property("CPU", name)) for name in names}


if __name__ == "__main__":
    main()
