"""Time the kernels for vector-quantized weights beside the CPU plugin's own formats, each limit beside its figure.

    python scripts/bench_vq.py                                    chains of MatMuls in the CPU plugin
    python scripts/bench_vq.py --genai VQ_FOLDER INT4_FOLDER      and time a token in OpenVINO GenAI
    python scripts/bench_vq.py --busy                             on one thread, by the processor's time for it

All models of a table run in turns, so that what slows the machine down slows all of them. Weights are random, others
in each layer: more of them than the last-level cache holds, so that they come from memory, as in a language model.
OpenVINO keeps equal weights only once. Reading the codes has its turn, too: from the file where the kernels read them,
and with as much in the caches as the models before it have left. Private memory is what a process of its own holds
more than without the model.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from int8_timing import Times, in_turns, inference
from openvino import opset13 as op
from vq_chains import activation, chain, half, int4, int8, new_core, saved, vector_chain

from ovpass.formats.vector_encoding import VectorEncoding
from ovpass.kernels import library, load_pipeline
from ovpass.kernels.native import Native
from ovpass.support.cpu_features import cpu_name

PROMPT, GENERATED = "The capital of France is", 32
TWO_BITS = VectorEncoding.of(4, [256])
LAYERS = {2048: 64, 4096: 16}
INT4, BF16, VQ, READING = "int4 g128", "bf16", "vq 2 bits", "reading"
LIMITS = {
    (4096, 1): (INT4, 0.65),
    (2048, 1): (INT4, 0.75),
    (4096, 8): (BF16, 1.5),
    (2048, 8): (BF16, 1.5),
    (4096, 64): (BF16, 1.5),
    (2048, 64): (BF16, 1.5),
    (4096, 512): (BF16, 1.05),
    (2048, 512): (BF16, 1.05),
}
MOST_OF_STREAMING, MOST_PRIVATE, MOST_OF_INT4_TOKEN = 2.5, 0.05, 1.2


def main() -> None:
    arguments = _arguments()
    how = "one thread, processor time" if arguments.busy else "all threads"
    print(f"OpenVINO {ov.get_version()}, {cpu_name()}, {os.cpu_count()} processors, {how}")
    with tempfile.TemporaryDirectory() as folder:
        for k in arguments.sizes:
            _chains(k, arguments.layers or LAYERS[k], arguments, Path(folder))
    if arguments.memory:
        _memory(arguments.memory)
    if arguments.genai:
        _genai(arguments.genai, arguments.rounds, busy=arguments.busy)


def _chains(k: int, layers: int, arguments: argparse.Namespace, folder: Path) -> None:
    makers: dict[str, Callable[[int], ov.Output]] = {
        BF16: lambda layer: half(k, layer),
        "int8": lambda layer: int8(k, layer),
        INT4: lambda layer: int4(k, layer),
    }
    print(f"\n{layers} MatMuls of {k} x {k}, us each, best and median of the rounds")
    paths = {name: saved(chain(k, layers, make), folder / f"{name}.xml") for name, make in makers.items()}
    paths[VQ] = saved(vector_chain(k, layers, TWO_BITS), folder / f"{VQ}.xml")
    properties = _properties(arguments.busy)
    compiled = {name: new_core().compile_model(path, "CPU", properties) for name, path in paths.items()}
    codes = np.memmap(paths[VQ].with_suffix(".bin"), np.uint8, "r")[: k * k * layers // TWO_BITS.vector_length]
    native = Native(library())
    for count in arguments.tokens:
        calls = {name: inference(model, activation(count, k)) for name, model in compiled.items()}
        if count == 1 and not arguments.busy:
            calls[READING] = partial(native.read, codes)
        rounds, clock = 400 if count < 64 else 15, time.process_time if arguments.busy else time.perf_counter
        times = in_turns(calls, rounds, arguments.seconds, clock)
        reading = times.pop(READING, None)
        print(f"  {count:4d} tokens: {_row(times, layers)}{_verdict(k, count, times)}")
        if reading is not None:
            _print_streaming(codes.size, times[VQ], reading)
    _print_private(k, codes.size, max(arguments.tokens), {name: paths[name] for name in (VQ, INT4)}, properties)


def _row(times: dict[str, Times], layers: int) -> str:
    return "  ".join(f"{n} {t.best / layers * 1e6:.0f} ({t.median / layers * 1e6:.0f})" for n, t in times.items())


def _verdict(k: int, tokens: int, times: dict[str, Times]) -> str:
    if (k, tokens) not in LIMITS:
        return ""
    against, limit = LIMITS[k, tokens]
    ratio = times[VQ].best / times[against].best
    medians = times[VQ].ratio(times[against])
    return f"\n      {VQ} / {against}: {ratio:.2f}, of medians {medians:.2f} {_judged(ratio, limit)}"


def _judged(value: float, limit: float) -> str:
    return f"[at most {limit}: {'met' if value <= limit else 'NOT MET'}]"


def _print_streaming(size: int, times: Times, reading: Times) -> None:
    """The codes read once by the library, on as many threads as OpenVINO has."""
    ratio = times.best / reading.best
    print(
        f"      {VQ} / reading its codes ({size / reading.best / 1e9:.1f} GB/s): {ratio:.2f}, "
        f"of medians {times.ratio(reading):.2f} {_judged(ratio, MOST_OF_STREAMING)}"
    )


def _print_private(k: int, codes: int, most: int, paths: Mapping[str, Path], properties: Mapping[str, int]) -> None:
    held = {name: _in_own_process(_private_by_tokens, path, k, (1, most), properties) for name, path in paths.items()}
    share = held[VQ][0] / codes
    print(
        f"  private memory after 1 token: {held[VQ][0] / 1e6:.1f} MB, {share:.3f} of the codes' {codes / 1e6:.0f} MB "
        f"{_judged(share, MOST_PRIVATE)}; int4: {held[INT4][0] / 1e6:.0f} MB"
    )
    if most > 1:
        more = ", ".join(f"{name} {(last - first) / 1e6:.0f} MB" for name, (first, last) in held.items())
        print(f"      more after {most} tokens, for activations: {more}")


def _properties(busy: bool) -> dict[str, int]:
    return {"INFERENCE_NUM_THREADS": 1} if busy else {}


def _in_own_process(work: Callable[..., Any], *given: Any) -> Any:
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(work, given)


def _private_by_tokens(path: Path, k: int, counts: Sequence[int], properties: Mapping[str, int]) -> list[int]:
    """By how many bytes private memory is larger after these numbers of tokens, one after the other."""
    core = new_core()
    core.compile_model(chain(1, 1, lambda _: op.constant(np.ones((1, 1), np.float32)).output(0)), "CPU", properties)
    before = _private()
    compiled = core.compile_model(path, "CPU", properties)
    request = compiled.create_infer_request()
    held = []
    for count in counts:
        request.set_input_tensor(ov.Tensor(activation(count, k)))
        request.infer()
        held.append(_private() - before)
    return held


def _private() -> int:
    """Bytes of private memory, without what the heap has free."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    text = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8")
    return int(text.split("Anonymous:")[1].split()[0]) * 1024


def _genai(folders: Sequence[str], rounds: int, *, busy: bool) -> None:
    import openvino_genai  # noqa: PLC0415

    clock = time.process_time if busy else time.perf_counter
    first, all_ = (openvino_genai.GenerationConfig(max_new_tokens=n, ignore_eos=True) for n in (1, GENERATED + 1))
    vectors, int4 = folders
    pipelines = {
        VQ: openvino_genai.LLMPipeline(vectors, "CPU", extensions=[str(library())], **_properties(busy)),
        "int4": openvino_genai.LLMPipeline(int4, "CPU", **_properties(busy)),
    }
    spent: dict[str, list[list[float]]] = {name: [] for name in pipelines}
    for _ in range(rounds):
        for name, pipeline in pipelines.items():
            spent[name].append([])
            for config in (first, all_):
                started = clock()
                pipeline.generate([PROMPT], config)
                spent[name][-1].append(clock() - started)
    print("\nOpenVINO GenAI, ms a token after the first, from the best and the median times of whole generations")
    found = {name: [_a_token(times, kind) for kind in (np.min, np.median)] for name, times in spent.items()}
    for name, (best, median) in found.items():
        print(f"  {name}: {best:.1f} ({median:.1f})")
    ratio, medians = (ours / theirs for ours, theirs in zip(found[VQ], found["int4"], strict=True))
    print(f"      {VQ} / int4: {ratio:.2f}, of medians {medians:.2f} {_judged(ratio, MOST_OF_INT4_TOKEN)}")


def _a_token(spent: Sequence[Sequence[float]], kind: Callable[..., Any]) -> float:
    one, all_ = kind(np.array(spent), axis=0)
    return float(all_ - one) / GENERATED * 1000


def _memory(folders: Sequence[str]) -> None:
    print("\nOpenVINO GenAI after 32 tokens, MB: private memory, file")
    for folder in folders:
        private = _in_own_process(_private_after_generation, folder)
        size = (Path(folder) / "openvino_model.bin").stat().st_size
        print(f"  {folder}: {private / 1e6:.0f}, {size / 1e6:.0f}")


def _private_after_generation(folder: str) -> int:
    pipeline = load_pipeline(folder)
    pipeline.generate([PROMPT], max_new_tokens=32)
    return _private()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=list(LAYERS), help="K and N of the chains")
    parser.add_argument("--layers", type=int, help="MatMuls of a chain")
    parser.add_argument("--tokens", type=int, nargs="*", default=[1, 8, 64, 512])
    parser.add_argument("--seconds", type=float, default=30, help="the most for each number of tokens")
    parser.add_argument("--busy", action="store_true", help="one thread and its processor time: for busy machines")
    parser.add_argument("--genai", nargs=2, metavar=("VQ_FOLDER", "INT4_FOLDER"), help="model folders to generate with")
    parser.add_argument("--memory", nargs="*", metavar="FOLDER", help="model folders to load and generate with")
    parser.add_argument("--rounds", type=int, default=7, help="generations of each model folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
