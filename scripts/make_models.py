#!/usr/bin/env python3
"""Make everything in models/ again, byte for byte (with the same versions of OpenVINO and NNCF).

Needs openvino, nncf, onnx and openvino-tokenizers; no network. A few seconds.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import nncf
import numpy as np
import onnx
import openvino as ov
from nncf import CompressWeightsMode as Mode
from onnx import helper, numpy_helper
from openvino_tokenizers import tokenizer_pipeline as tp
from openvino_tokenizers.utils import change_inputs_type, change_outputs_type

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.builders import LlamaConfig, encoder_model, linear_model, llama_model, number_nodes  # noqa: E402

Options: TypeAlias = dict[str, Any]

K, N, GROUP = 128, 32, 32
LLAMA = LlamaConfig()
SPECIAL = {"pad": "<pad>", "bos": "<s>", "eos": "</s>"}
MERGES = (
    "t h|h e|i n|e r|a n|r e|o n|a t|e n|n d|t i|e s|o r|t e|o f|e d|i s|i t|a l|a r|s t|t o|n t|n g|s e|h a"
    "|a s|o u|i o|l e|v e|c o|m e|d e|h i|r i|r o|i c|n e|e a|r a|c e|l i|c h|l l|b e|m a|s i|o m|u r"
    "|th e|in g|an d|ti on|en t|f or|th a|w i|u n|p r|y o"
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def compressed(model: ov.Model, mode: Mode, options: Options) -> ov.Model:
    """The model with its weights compressed by NNCF."""
    return number_nodes(nncf.compress_weights(model, mode=mode, **options))


def save(model: ov.Model, path: Path) -> None:
    """Write `path` (.xml) and its .bin, without rounding float constants to f16."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ov.save_model(model, path, compress_to_fp16=False)


# --- one linear layer a weight format ---


def nncf_formats() -> Iterator[tuple[str, ov.Model]]:
    """What NNCF makes of an f32 MatMul, mode by mode."""
    grouped: Options = {"all_layers": True, "group_size": GROUP}
    channel: Options = {"all_layers": True, "group_size": -1}
    yield "nncf_int8_sym", _by_nncf(Mode.INT8_SYM, {})
    yield "nncf_int8_asym", _by_nncf(Mode.INT8_ASYM, {})
    for mode in (Mode.INT4_SYM, Mode.INT4_ASYM, Mode.INT3_SYM, Mode.INT2_SYM, Mode.NF4, Mode.CB4, Mode.FP4):
        yield f"nncf_{mode.value}_g{GROUP}", _by_nncf(mode, grouped)
    yield "nncf_int4_sym_ch", _by_nncf(Mode.INT4_SYM, channel)
    yield "nncf_int4_asym_ch", _by_nncf(Mode.INT4_ASYM, channel)
    yield "nncf_fp8_e4m3_ch", _by_nncf(Mode.FP8_E4M3, channel)
    yield f"nncf_fp8_e4m3_g{GROUP}", _by_nncf(Mode.FP8_E4M3, grouped)
    for mode in (Mode.MXFP4, Mode.MXFP8_E4M3, Mode.NVFP4):
        yield f"nncf_{mode.value}", _by_nncf(mode, {"all_layers": True})
    codebook = nncf.AdvancedCompressionParameters(codebook=np.linspace(-1.0, 1.0, 16, dtype=np.float32))
    yield f"nncf_codebook_g{GROUP}", _by_nncf(Mode.CODEBOOK, grouped | {"advanced_parameters": codebook})


def _by_nncf(mode: Mode, options: Options) -> ov.Model:
    return compressed(linear_model("w_f32_plain", K, N), mode, options)


def built_formats() -> Iterator[tuple[str, ov.Model]]:
    """Chains that no compressor here writes: GenAI's GGUF reader, an f16 zero point, codes stored [K, N]."""
    for name in (
        "gguf_u4_asym_g32",
        "gguf_u8_asym_g32",
        "w_u8_asym_ch_f16zp_noconvert",
        "p_i8_ch_tb_false_KN",
        "p_i8_ch_transpose_node",
    ):
        yield name, number_nodes(linear_model(name, K, N))


def onnx_formats() -> Iterator[tuple[str, ov.Model]]:
    """ONNX's two ways, MatMulNBits and DequantizeLinear, as OpenVINO reads them."""
    for bits in (4, 8):
        yield f"onnx_matmulnbits_u{bits}_g{GROUP}", _matmul_nbits(bits, zero_points=True)
        yield f"onnx_matmulnbits_u{bits}_g{GROUP}_scalarzp", _matmul_nbits(bits, zero_points=False)
    yield f"onnx_qdq_i4_g{GROUP}", _qdq(onnx.TensorProto.INT4, zero_points=False)
    yield f"onnx_qdq_u4_asym_g{GROUP}", _qdq(onnx.TensorProto.UINT4, zero_points=True)
    yield f"onnx_qdq_i8_g{GROUP}", _qdq(onnx.TensorProto.INT8, zero_points=False)
    yield "onnx_qdq_i8_ch", _qdq(onnx.TensorProto.INT8, zero_points=False, block=0)


def _matmul_nbits(bits: int, zero_points: bool) -> ov.Model:
    rng = np.random.default_rng(bits)
    groups = K // GROUP
    codes = rng.integers(0, 256, (N, groups, GROUP * bits // 8), dtype=np.uint8)
    scales = rng.uniform(0.5, 1.0, N * groups).astype(np.float32) / 2**bits
    stored = {"weight": codes, "scale": scales}
    if zero_points:
        stored["zero_point"] = rng.integers(100, 156, N * groups * bits // 8, dtype=np.uint8)
    node = helper.make_node(
        "MatMulNBits",
        ["x", *stored],
        ["linear"],
        domain="com.microsoft",
        K=K,
        N=N,
        bits=bits,
        block_size=GROUP,
    )
    return _from_onnx([node], [numpy_helper.from_array(value, name) for name, value in stored.items()])


def _qdq(kind: int, zero_points: bool, block: int = GROUP) -> ov.Model:
    rng = np.random.default_rng(kind)
    low, high = (-100, 101) if kind == onnx.TensorProto.INT8 else (0, 8)
    shape = (K // block, N) if block else (N,)
    scales = rng.uniform(0.5, 1.0, shape).astype(np.float32) / high
    stored = [
        helper.make_tensor("weight", kind, (K, N), rng.integers(low, high, K * N)),
        numpy_helper.from_array(scales, "scale"),
    ]
    if zero_points:
        stored.append(helper.make_tensor("zero_point", kind, shape, rng.integers(3, 6, shape).ravel()))
    where: Options = {"axis": 0, "block_size": block} if block else {"axis": 1}
    dequantize = helper.make_node("DequantizeLinear", [t.name for t in stored], ["weight_f32"], **where)
    return _from_onnx([dequantize, helper.make_node("MatMul", ["x", "weight_f32"], ["linear"])], stored)


def _from_onnx(nodes: list[onnx.NodeProto], stored: list[onnx.TensorProto]) -> ov.Model:
    """x [batch, tokens, K] -> y, through an ONNX file and OpenVINO's reader."""
    x, y = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", "tokens", width])
        for name, width in (("x", K), ("linear", N))
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(nodes, "linear", [x], [y], stored)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "linear.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
        model = ov.convert_model(path)
    model.outputs[0].set_names({"y"})
    return number_nodes(model)


def make_formats(folder: Path) -> None:
    """One IR a weight format."""
    for source in (nncf_formats, built_formats, onnx_formats):
        for name, model in source():
            save(model, folder / f"{name}.xml")


# --- whole models ---


def make_llama(folder: Path) -> None:
    """Two blocks of int4, an 8-bit lm_head tied to the embedding, and what LLMPipeline wants with them."""
    model = llama_model(fmt="w_f32_plain", lm_head_fmt="w_f32_plain")
    save(compressed(model, Mode.INT4_SYM, {"group_size": GROUP}), folder / "openvino_model.xml")
    for name, tokenizer in byte_tokenizer().items():
        save(tokenizer, folder / f"{name}.xml")
    ids = {f"{role}_token_id": index for index, role in enumerate(SPECIAL)}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": LLAMA.hidden,
        "intermediate_size": LLAMA.ffn,
        "num_hidden_layers": LLAMA.blocks,
        "num_attention_heads": LLAMA.heads,
        "num_key_value_heads": LLAMA.kv_heads,
        "head_dim": LLAMA.head_size,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
        "vocab_size": LLAMA.vocab,
    }
    write_json(folder / "config.json", config | ids)
    write_json(folder / "generation_config.json", ids)
    words = {f"{role}_token": token for role, token in SPECIAL.items()}
    write_json(folder / "tokenizer_config.json", words | {"chat_template": CHAT_TEMPLATE})


def make_encoder(folder: Path) -> None:
    """A two-block BERT-like encoder in int8."""
    model = encoder_model(fmt="w_f32_plain", embedding_fmt="w_f32_plain")
    save(compressed(model, Mode.INT8_SYM, {}), folder / "openvino_model.xml")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write indented JSON with a newline at the end."""
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def byte_tokenizer() -> dict[str, ov.Model]:
    """A byte-level BPE of 320 tokens: 3 special ones, 256 bytes and the commonest pairs of English."""
    pairs = [tuple(part.encode() for part in pair.split()) for pair in MERGES.split("|")]
    vocab = [token.encode() for token in SPECIAL.values()] + [bytes([byte]) for byte in range(256)]
    vocab += [left + right for left, right in pairs]
    assert len(vocab) == LLAMA.vocab
    skipped = list(range(len(SPECIAL)))
    pipeline = tp.TokenizerPipeline(vocab=vocab, skip_tokens=skipped)
    pipeline.add_steps(
        [
            tp.SpecialTokensSplit.from_string_iter(SPECIAL.values()),
            tp.RegexSplitStep.byte_level_splitter(),
            tp.BPETokenizationStep(vocab=vocab, merges=pairs),
            tp.CombineSegmentsStep([tp.Sequence()]),
            tp.PaddingStep(token=SPECIAL["pad"], _token_id=0, pad_right=False),
            tp.VocabDecoderStep(vocab=vocab, skip_tokens=skipped),
            tp.FuseStep(),
            tp.UTF8ValidateStep(tp.UTF8ReplaceMode.REPLACE),
        ]
    )
    tokenizer = change_outputs_type(pipeline.get_tokenizer_ov_subgraph(), ov.Type.i64)
    detokenizer = change_inputs_type(pipeline.get_detokenizer_ov_subgraph(), ov.Type.i64)
    models = {"openvino_tokenizer": tokenizer, "openvino_detokenizer": detokenizer}
    for model in models.values():
        for index, role in enumerate(SPECIAL):
            model.set_rt_info(index, f"{role}_token_id")
        model.set_rt_info(CHAT_TEMPLATE, "chat_template")
        number_nodes(model)
    return models


RECIPES: dict[str, Callable[[Path], None]] = {
    "formats": make_formats,
    "tiny-llama-int4": make_llama,
    "tiny-encoder-int8": make_encoder,
}


def main(arguments: Iterable[str] | None = None) -> None:
    """Make all models in a temporary folder, then put them in place of the old ones."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, default=ROOT / "models", help="folder to write (default: models/)")
    output: Path = parser.parse_args(None if arguments is None else list(arguments)).output
    nncf.set_log_level(logging.ERROR)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output) as scratch:
        for name, make in RECIPES.items():
            make(Path(scratch) / name)
            shutil.rmtree(output / name, ignore_errors=True)
            (Path(scratch) / name).rename(output / name)
            size = sum(path.stat().st_size for path in (output / name).iterdir())
            print(f"{name}: {size / 1000:.0f} kB", file=sys.stderr)


if __name__ == "__main__":
    main()
