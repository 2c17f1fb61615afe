"""The committed models are what models/README.md says, and run."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino_genai as genai
import pytest

MODELS = Path(__file__).resolve().parent.parent / "models"
FORMATS = MODELS / "formats"
LLAMA = MODELS / "tiny-llama-int4"
K, N = 128, 32


class Chain(NamedTuple):
    """What stands between the packed weights and the MatMul."""

    weight_type: str
    shape: tuple[int, ...]
    zero_point: str | None = None
    transpose_b: bool = True


def per_group(weight_type: str, group: int = 32, zero_point: str | None = None) -> Chain:
    return Chain(weight_type, (N, K // group, group), zero_point)


CHAINS = {
    "gguf_u4_asym_g32": per_group("u4", zero_point="u4"),
    "gguf_u8_asym_g32": per_group("u8", zero_point="u8"),
    "nncf_cb4_g32": per_group("u4"),
    "nncf_codebook_g32": per_group("u4"),
    "nncf_fp4_g32": per_group("f4e2m1"),
    "nncf_fp8_e4m3_ch": Chain("f8e4m3", (N, K)),
    "nncf_fp8_e4m3_g32": per_group("f8e4m3"),
    "nncf_int2_sym_g32": per_group("u2", zero_point="i8"),
    "nncf_int3_sym_g32": per_group("u3", zero_point="i8"),
    "nncf_int4_asym_ch": Chain("u4", (N, K), "u4"),
    "nncf_int4_asym_g32": per_group("u4", zero_point="u4"),
    "nncf_int4_sym_ch": Chain("i4", (N, K)),
    "nncf_int4_sym_g32": per_group("i4"),
    "nncf_int8_asym": Chain("u8", (N, K), "u8"),
    "nncf_int8_sym": Chain("i8", (N, K)),
    "nncf_mxfp4": per_group("f4e2m1"),
    "nncf_mxfp8_e4m3": per_group("f8e4m3"),
    "nncf_nf4_g32": per_group("nf4"),
    "nncf_nvfp4": per_group("f4e2m1", 16),
    "onnx_matmulnbits_u4_g32": per_group("u4", zero_point="u4"),
    "onnx_matmulnbits_u4_g32_scalarzp": per_group("u4", zero_point="u4"),
    "onnx_matmulnbits_u8_g32": per_group("u8", zero_point="u8"),
    "onnx_matmulnbits_u8_g32_scalarzp": per_group("u8", zero_point="u8"),
    "onnx_qdq_i4_g32": Chain("i4", (K // 32, 32, N), transpose_b=False),
    "onnx_qdq_i8_ch": Chain("i8", (K, N), transpose_b=False),
    "onnx_qdq_i8_g32": Chain("i8", (K // 32, 32, N), transpose_b=False),
    "onnx_qdq_u4_asym_g32": Chain("u4", (K // 32, 32, N), "u4", transpose_b=False),
    "p_i8_ch_tb_false_KN": Chain("i8", (K, N), transpose_b=False),
    "p_i8_ch_transpose_node": Chain("i8", (N, K), transpose_b=False),
    "w_u8_asym_ch_f16zp_noconvert": Chain("u8", (N, K), "f16"),
}


@pytest.fixture(scope="module")
def core() -> ov.Core:
    return ov.Core()


def the(model: ov.Model, kind: str) -> ov.Node:
    """The only node of that type."""
    (node,) = (node for node in model.get_ordered_ops() if node.get_type_name() == kind)
    return node


def constant_behind(output: ov.Output) -> ov.Node:
    """The Constant that `output` comes from through Converts."""
    node = output.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    assert node.get_type_name() == "Constant"
    return node


def decompression(model: ov.Model) -> Chain:
    """The chain of the only MatMul, read from the graph."""
    matmul = the(model, "MatMul")
    multiply = matmul.input_value(1).get_node()
    while multiply.get_type_name() in {"Convert", "Reshape", "Transpose"}:
        multiply = multiply.input_value(0).get_node()
    assert multiply.get_type_name() == "Multiply"
    codes, zero_point = multiply.input_value(0), None
    if codes.get_node().get_type_name() == "Subtract":
        zero_point = constant_behind(codes.get_node().input_value(1)).get_element_type().to_string()
        codes = codes.get_node().input_value(0)
    if codes.get_node().get_type_name() == "Gather":
        codes = codes.get_node().input_value(1)
    packed = constant_behind(codes)
    transpose_b = bool(matmul.get_attributes()["transpose_b"])
    return Chain(packed.get_element_type().to_string(), tuple(packed.shape), zero_point, transpose_b)


def tokens(count: int) -> dict[str, npt.NDArray[np.int64]]:
    """Inputs for `count` tokens of one prompt."""
    return {
        "input_ids": np.arange(3, 3 + count).reshape(1, -1),
        "attention_mask": np.ones((1, count), np.int64),
    }


def test_every_format_is_checked() -> None:
    assert {path.stem for path in FORMATS.glob("*.xml")} == CHAINS.keys()


@pytest.mark.parametrize("name", CHAINS)
def test_format_has_its_chain_and_runs(core: ov.Core, name: str) -> None:
    model = core.read_model(FORMATS / f"{name}.xml")
    assert decompression(model) == CHAINS[name]
    x = np.random.default_rng(0).normal(size=(1, 3, K)).astype(np.float32)
    y = core.compile_model(model, "CPU")({"x": x})["y"]
    assert y.shape == (1, 3, N)
    assert 0.1 < y.std() < 10


def test_llama_weights(core: ov.Core) -> None:
    model = core.read_model(LLAMA / "openvino_model.xml")
    linears = [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "MatMul" and "linear" in node.get_friendly_name()
    ]
    assert len(linears) == 2 * 7 + 1
    packed = [
        node.get_element_type().to_string() + str(list(node.shape))
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_friendly_name().endswith("_proj.weight")
    ]
    assert sorted(packed) == sorted(
        ["i4[128, 4, 32]", "i4[64, 4, 32]", "i4[64, 4, 32]", "i4[128, 4, 32]"] * 2
        + ["i4[256, 4, 32]", "i4[256, 4, 32]", "i4[128, 8, 32]"] * 2
    )


def test_llama_lm_head_is_tied_to_the_embedding(core: ov.Core) -> None:
    model = core.read_model(LLAMA / "openvino_model.xml")
    tables = [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and list(node.shape) == [320, 128]
    ]
    assert [node.get_element_type().to_string() for node in tables] == ["u8"]


def test_llama_keeps_its_state(core: ov.Core) -> None:
    """One prompt at once and token by token give the same logits."""
    exact = {
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        "KV_CACHE_PRECISION": "f32",
    }
    request = core.compile_model(LLAMA / "openvino_model.xml", "CPU", exact).create_infer_request()
    beam = {"beam_idx": np.zeros(1, np.int32)}
    prompt = tokens(5)
    whole = request.infer(prompt | beam | {"position_ids": np.arange(5).reshape(1, -1)})["logits"].copy()
    request.reset_state()
    for i in range(5):
        step = {
            "input_ids": prompt["input_ids"][:, i : i + 1],
            "attention_mask": prompt["attention_mask"][:, : i + 1],
            "position_ids": np.array([[i]]),
        }
        logits = request.infer(step | beam)["logits"]
        np.testing.assert_allclose(logits[0, 0], whole[0, i], atol=1e-4)


def test_llama_generates() -> None:
    pipeline = genai.LLMPipeline(str(LLAMA), "CPU")
    config = genai.GenerationConfig(max_new_tokens=8, do_sample=False, ignore_eos=True)
    result = pipeline.generate(["the theme of it"], config)
    assert result.perf_metrics.get_num_generated_tokens() == 8
    prompt = pipeline.get_tokenizer().apply_chat_template([{"role": "user", "content": "hi"}], True)
    assert prompt == "user: hi\nassistant: "


def test_llama_tokenizer_round_trip() -> None:
    tokenizer = genai.Tokenizer(str(LLAMA))
    text = "The théme of it: 12 + 3\n"
    ids = tokenizer.encode(text).input_ids.data
    assert ids.max() < 320
    assert tokenizer.decode(ids[0].tolist()) == text
    assert (tokenizer.get_bos_token_id(), tokenizer.get_eos_token_id()) == (1, 2)


def test_encoder_runs_and_heeds_the_mask(core: ov.Core) -> None:
    model = core.read_model(MODELS / "tiny-encoder-int8" / "openvino_model.xml")
    packed = [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_element_type() == ov.Type.i8
    ]
    assert len(packed) == 2 * 6 + 3  # the MatMuls and three embeddings
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inputs = tokens(6) | {"token_type_ids": np.zeros((1, 6), np.int64)}
    inputs["attention_mask"][0, 4:] = 0
    first = compiled(inputs)["last_hidden_state"].copy()
    inputs["input_ids"][0, 4:] = 9
    second = compiled(inputs)["last_hidden_state"]
    assert first.shape == (1, 6, 128)
    np.testing.assert_allclose(first[0, :4], second[0, :4], atol=1e-5)
    assert not np.allclose(first[0, 4:], second[0, 4:], atol=1e-2)
