"""Ways to run M-ANT weights in stock OpenVINO: time, memory and what a simulated Arc makes of them.

    python scripts/mant_running.py [--size 2048] [--layers 6] [--rounds 15]

A chain of square layers in each form: floating point, the chain of lookups that `ovpass compress` writes, 8-bit
integers in groups (`ExpandWeights`), the paper's split s (a I + P) into a product with i4 and one with powers of two
in i8, and int4 in the same groups for comparison. Each form runs in a process of its own: times are the best of all
rounds, memory is what is private to the process after the first inference, less what was before compilation. With
--keep FOLDER the models stay there, for `ovpass verify FOLDER/expanded.xml --simulate arc-b580`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as op

from ovpass.cli.output import print_table
from ovpass.formats import FORMATS
from ovpass.formats.base import ChainForm, EncodedWeights, Encoding
from ovpass.formats.mant import encode
from ovpass.formats.mant_encoding import MantWeights, mant, of_mant
from ovpass.formats.mant_expansion import expand

Array = npt.NDArray[Any]

GROUP = 64
FORMS = ("f16", "int4", "lookups", "expanded", "split")
TOKENS = (1, 64, 512)


def weights_of(size: int) -> Array:
    return np.asarray(np.random.default_rng(0).standard_normal((size, size)) / np.sqrt(size), np.float32)


def written(encoded: EncodedWeights) -> ov.Output:
    return FORMATS[encoded.encoding.format].write(encoded, ChainForm("weight", "weight/"))


def parts_of(encoded: MantWeights) -> tuple[EncodedWeights, EncodedWeights]:
    """a I and P as integers in groups: i of -7 to 7, and powers of two, of which 128 is cut to 127."""
    assert encoded.scale is not None, "M-ANT has scales"
    blocks = encoded.codes.reshape(*encoded.types.shape, -1).astype(np.int16)
    sign, i = np.where(blocks > 7, -1, 1), blocks % 8
    a = np.array(encoded.encoding.table, np.float32)[encoded.types]
    shape = encoded.codes.shape
    powers = (sign * 2**i).clip(-128, 127).reshape(shape)
    narrow, wide = (Encoding("integer", kind, GROUP, scale_type="f32") for kind in ("i4", "i8"))
    return EncodedWeights(narrow, (sign * i).reshape(shape), encoded.scale * a), EncodedWeights(
        wide, powers, encoded.scale
    )


def layer(form: str, x: ov.Output, weights: Array) -> ov.Output:
    if form == "f16":
        constant = op.convert(op.constant(weights.astype(np.float16)), "f32").output(0)
        return op.matmul(x, constant, False, True).output(0)
    if form == "int4":
        coded = FORMATS["integer"].encode(weights, Encoding("integer", "i4", GROUP))
        return op.matmul(x, written(coded), False, True).output(0)
    encoded = of_mant(encode(weights, mant(4, GROUP)))
    if form == "split":
        first, second = (op.matmul(x, written(part), False, True) for part in parts_of(encoded))
        return op.add(first, second).output(0)
    return op.matmul(x, written(expand(encoded).weights if form == "expanded" else encoded), False, True).output(0)


def chain(form: str, size: int, layers: int) -> ov.Model:
    weights = weights_of(size)
    x = op.parameter(ov.PartialShape([1, -1, size]), np.float32, name="x")
    node = x.output(0)
    for number in range(layers):
        node = layer(form, node, np.roll(weights, number, axis=0))
    return ov.Model([op.result(node)], [x])


def private_megabytes() -> float:
    text = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8")
    return int(text.split("Private_Dirty:")[1].split()[0]) / 1e3


def measure(path: Path, layers: int, rounds: int) -> dict[str, Any]:
    """In a process of its own: milliseconds a layer by tokens, and megabytes a layer after the first inference."""
    core = ov.Core()
    size = int(core.read_model(path).inputs[0].get_partial_shape()[2].get_length())
    before = private_megabytes()
    compiled = core.compile_model(core.read_model(path), "CPU")
    request = compiled.create_infer_request()
    inputs = {
        tokens: np.random.default_rng(1).standard_normal((1, tokens, size)).astype(np.float32) for tokens in TOKENS
    }
    request.infer([inputs[1]])
    memory = (private_megabytes() - before) / layers
    best = dict.fromkeys(TOKENS, np.inf)
    for _ in range(rounds):
        for tokens, x in inputs.items():
            started = time.perf_counter()
            request.infer([x])
            best[tokens] = min(best[tokens], time.perf_counter() - started)
    return {"ms": {tokens: 1e3 * best[tokens] / layers for tokens in TOKENS}, "mb": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure, asked.layers, asked.rounds)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for form in FORMS:
            path = folder / f"{form}.xml"
            ov.save_model(chain(form, asked.size, asked.layers), path, compress_to_fp16=False)
            command = [sys.executable, __file__, "--measure", str(path)]
            command += ["--layers", str(asked.layers), "--rounds", str(asked.rounds)]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found = json.loads(printed.splitlines()[-1])
            disk = path.with_suffix(".bin").stat().st_size / 1e6 / asked.layers
            times = [f"{milliseconds:.2f}" for milliseconds in found["ms"].values()]
            rows.append((form, f"{disk:.1f}", f"{found['mb']:.1f}", *times))
    columns = ("Form", "MB on disk", "MB in memory", *(f"ms, {tokens} tokens" for tokens in TOKENS))
    print_table(columns, rows, numeric=columns[1:])
    done = expand(encode(weights_of(asked.size), mant(4, GROUP)))
    print(f"Expanded: {100 * done.exact:.1f} % of groups exactly, relative error {done.error:.4f}.")


if __name__ == "__main__":
    main()
