#!/usr/bin/env python3
"""Get SmolLM2-135M-Instruct without the loss of the GGUF conversion, and print the folder's path.

OpenVINO GenAI rounds the minimum of each Q4_1 block to a zero point, which costs 8 to 9 % of the weights. Here the
same graph gets the GGUF's own values, dequantized exactly and stored in f16 (relative rounding 5e-4), as
`smollm2-135m-f16` beside the folder of get_smollm2.py. With --int8 NNCF compresses that to symmetric 8 bit per
channel, as `smollm2-135m-int8`.
Exit code 2: no network, or a package missing; `pip install -e ".[dev]"` has them all.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import get_smollm2 as base
import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as op

import ovpass
from ovpass.passes.packing import evaluate

FLOAT, INT8 = f"{base.FOLDER}-f16", f"{base.FOLDER}-int8"
TENSORS = {
    "attn.q": "attn_q",
    "attn.k": "attn_k",
    "attn.v": "attn_v",
    "attn.out": "attn_output",
    "mlp.gate": "ffn_gate",
    "mlp.up": "ffn_up",
    "mlp.down": "ffn_down",
}
HEADS = {"attn.q": base.CONFIG["num_attention_heads"], "attn.k": base.CONFIG["num_key_value_heads"]}
LARGEST_LOSS = 0.12
"""Relative difference to the lossy weights; a wrong tensor or order of rows gives 1 and more."""
DECOMPRESSION = "decompression_0"
DECOMPRESSION_IR = """<?xml version="1.0"?>
<net name="decompression" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="1" element_type="f16"/>
<output><port id="0" precision="FP16"><dim>1</dim></port></output></layer>
<layer id="1" name="y" type="Convert" version="opset1"><data destination_type="f32"/>
<rt_info><attribute name="decompression" version="0"/></rt_info>
<input><port id="0" precision="FP16"><dim>1</dim></port></input>
<output><port id="1" precision="FP32"><dim>1</dim></port></output></layer>
<layer id="2" name="r" type="Result" version="opset1"><input><port id="0" precision="FP32"><dim>1</dim></port></input>
</layer></layers><edges><edge from-layer="0" from-port="0" to-layer="1" to-port="0"/>
<edge from-layer="1" from-port="1" to-layer="2" to-port="0"/></edges></net>"""

Weights = NDArray[np.float32]


def get_float(cache: Path) -> Path:
    """The f16 folder, made first if it is not there."""
    return base.kept(cache / FLOAT, lambda scratch: make_float(base.get_smollm2(cache), scratch))


def get_int8(cache: Path) -> Path:
    """The folder with weights in i8 per channel, made first if it is not there."""
    return base.kept(cache / INT8, lambda scratch: make_int8(get_float(cache), scratch))


def make_float(lossy: Path, scratch: Path) -> Path:
    """The lossy folder with every decompression replaced by the exact weights."""
    require("gguf")
    gguf = base.fetch_gguf(scratch, scratch)
    model = ov.Core().read_model(lossy / base.IR_FILES[0])
    base.say("putting the exact weights in")
    put_in(model, gguf)
    return write_folder(model, lossy, scratch / FLOAT)


def make_int8(source: Path, scratch: Path) -> Path:
    """The float folder compressed by NNCF."""
    require("nncf")
    base.say("compressing to int8")
    model = ov.Core().read_model(source / base.IR_FILES[0])
    with contextlib.redirect_stdout(sys.stderr):  # NNCF reports on stdout, which is for the path alone
        import nncf  # noqa: PLC0415

        compressed = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    return write_folder(compressed, source, scratch / INT8)


def require(package: str) -> None:
    """Say what to install, before anything is downloaded."""
    if importlib.util.find_spec(package) is None:
        raise base.SetupError(f"{package} is not installed; pip install {package}")


def put_in(model: ov.Model, gguf: Path) -> None:
    """Replace each chain, shared ones once; embedding and head share theirs."""
    exact = read_tensors(gguf)
    mark = decompression_mark()
    for site in ovpass.find_compressed_matmuls(model):
        last = site.matmul.input_value(site.weights_input)
        consumers = list(last.get_target_inputs())
        values = in_order(site, exact)
        loss = relative_difference(evaluate(last), values)
        if loss > LARGEST_LOSS:
            raise base.SetupError(f"{site.name} ({site.kind} {site.layer}): weights differ by {loss:.2f}")
        stored = op.constant(values.astype(np.float16))
        stored.set_friendly_name(tensor_name(site))
        widened = op.convert(stored, "f32")
        widened.set_rt_info(mark, DECOMPRESSION)
        for consumer in consumers:
            consumer.replace_source_output(widened.output(0))
    if left := ovpass.find_compressed_matmuls(model):
        raise base.SetupError(f"{len(left)} MatMuls are compressed still")


def read_tensors(gguf: Path) -> Mapping[str, Weights]:
    """Every tensor by name, dequantized in f32."""
    from gguf import GGUFReader  # noqa: PLC0415
    from gguf.quants import dequantize  # noqa: PLC0415

    return {t.name: dequantize(t.data, t.tensor_type) for t in GGUFReader(gguf).tensors}


def tensor_name(site: ovpass.CompressedMatMul) -> str:
    """What GGUF calls the weights of a site."""
    return "token_embd.weight" if site.kind == "lm_head" else f"blk.{site.layer}.{TENSORS[site.kind]}.weight"


def in_order(site: ovpass.CompressedMatMul, exact: Mapping[str, Weights]) -> Weights:
    """The weights [N, K] with the rows of queries and keys as Hugging Face orders them.

    GGUF interleaves the two halves that rotary embedding pairs (llama.cpp, convert_hf_to_gguf.py, permute).
    """
    values = exact[tensor_name(site)]
    if site.kind not in HEADS:
        return values
    rows, columns = values.shape
    pairs = values.reshape(HEADS[site.kind], -1, 2, columns)
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows, columns)


def relative_difference(found: NDArray[Any], expected: Weights) -> float:
    """Frobenius norm of the difference by that of `expected`."""
    return float(np.linalg.norm(found.astype(np.float32) - expected) / np.linalg.norm(expected))


def decompression_mark() -> ov.OVAny:
    """The attribute that keeps a Convert of weights from being folded; Python can copy it, not create it."""
    donor = ov.Core().read_model(DECOMPRESSION_IR.encode(), ov.Tensor(np.zeros(1, np.uint8)))
    return next(node for node in donor.get_ops() if node.get_type_name() == "Convert").get_rt_info()[DECOMPRESSION]


def write_folder(model: ov.Model, source: Path, folder: Path) -> Path:
    """`folder` with the model, and everything else as in `source`."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("openvino_model.*"))
    ov.save_model(model, folder / base.IR_FILES[0], compress_to_fp16=False)
    return folder


def main() -> int:
    """Print the folder's path; 0, or 2 with a reason on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--int8", action="store_true", help="weights in i8 per channel instead of f16")
    get = get_int8 if parser.parse_args().int8 else get_float
    try:
        print(get(base.cache_folder()))
    except (base.SetupError, OSError, zipfile.BadZipFile) as error:
        base.say(f"error: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
