"""A decoder with a culprit: a layer that group quantization leaves alone, and that per-token quantization breaks."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as op

from .chains import constant
from .formats import FORMATS
from .llama import LlamaConfig, llama_model

GROUP = 32
LOUDER = 2.0**10
# Scales in f32: in f16 those of the loud channels would be subnormal, and the culprit no longer the same function.
PLANTED = LlamaConfig(fmt=replace(FORMATS["w_i4_sym_g32"], name="w_i4_sym_g32_f32", scale_type="f32", compute="f32"))
TOKENIZER = Path(__file__).resolve().parents[2] / "models" / "tiny-llama-int4"

_LAYERS = {
    "attn.q": "self_attn.q_proj",
    "attn.k": "self_attn.k_proj",
    "attn.v": "self_attn.v_proj",
    "attn.out": "self_attn.o_proj",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}


def planted_name(block: int, kind: str = "mlp.down") -> str:
    """The friendly name of that layer's MatMul in `planted_llama` and `llama_model`."""
    return f"__module.model.layers.{block}.{_LAYERS[kind]}/aten::linear/MatMul"


def planted_llama(block: int, *kinds: str, config: LlamaConfig = PLANTED) -> ov.Model:
    """`llama_model` with culprits in one block, mlp.down where no kind is named; the same function in f32.

    Before each culprit the first 32 channels of its activation are multiplied by 1024, and the scales of the weights
    that meet them are divided by it. With one scale a token all other channels are rounded to zero; with one for 32
    channels every code is the same as without. Culprits that read one activation go on reading one.
    """
    model = llama_model(**{field: value for field, value in asdict(config).items() if field != "fmt"}, fmt=config.fmt)
    nodes = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
    louder: dict[str, ov.Output] = {}
    for kind in kinds or ("mlp.down",):
        name = planted_name(block, kind)
        source = nodes[name].input_value(0)
        key = source.get_node().get_name()
        if key not in louder:
            louder[key] = _louder(source, name, nodes[name].input_value(1).get_shape()[1])
        nodes[name].input(0).replace_source_output(louder[key])
        _turn_down(nodes[name].input_value(1).get_node())
    model.validate_nodes_and_infer_types()
    return model


def save_planted(folder: Path, block: int, *kinds: str, config: LlamaConfig = PLANTED) -> Path:
    """A model folder with that decoder and a tokenizer for its 320 tokens."""
    shutil.copytree(TOKENIZER, folder, ignore=shutil.ignore_patterns("openvino_model.*"))
    ov.save_model(planted_llama(block, *kinds, config=config), folder / "openvino_model.xml", compress_to_fp16=False)
    return folder


def _louder(x: ov.Output, name: str, k: int) -> ov.Output:
    factors = np.where(np.arange(k) < GROUP, LOUDER, 1.0).astype(np.float32)
    node = op.multiply(x, constant(factors[None, None], "f32", f"{name}/factors"))
    node.set_friendly_name(f"{name}/louder")
    return node.output(0)


def _turn_down(joined: ov.Node) -> None:
    """Divide the scales [N, K / 32, 1] of the first group; `joined` is the Reshape that ends the chain."""
    multiply = joined.input_value(0).get_node()
    old = multiply.input_value(1).get_node()
    scales = old.data.copy()
    scales[:, 0] /= LOUDER
    multiply.input(1).replace_source_output(constant(scales, "f32", old.get_friendly_name()))
