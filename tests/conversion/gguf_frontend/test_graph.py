"""GGUF files through OpenVINO's frontend compute what llama.cpp's graphs do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai
import pytest

from ovpass.conversion.gguf_file import open_gguf
from ovpass.conversion.gguf_frontend.graph import build_model
from ovpass.conversion.gguf_frontend.weights import Wanted, place_weights
from ovpass.conversion.requantization import Requantizer, integer_encoding
from ovpass.ir.constant_folding import evaluate
from ovpass.sites import find_compressed_matmuls
from tests.cli.command import CommandLine
from tests.conversion.gguf_files import weights_in, write_gguf
from tests.conversion.gguf_frontend.architectures import ARCHITECTURES, Array, forward, write

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0", "KV_CACHE_PRECISION": "f32"}
IDS = np.random.default_rng(1).integers(3, 190, 20)
ROUNDED = 5e-6
"""f32 against f64: twenty roundings of 2^-24 of a logit of about 2."""


class Runner:
    """A compiled model with its state."""

    def __init__(self, model: ov.Model) -> None:
        self._request = ov.Core().compile_model(model, "CPU", EXACT).create_infer_request()

    def __call__(self, ids: Array, mask: Array, positions: Array) -> Array:
        given = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        found = self._request.infer({**given, "beam_idx": np.arange(len(ids), dtype=np.int32)})
        return np.array(found["logits"])

    def forget(self) -> None:
        self._request.reset_state()


IN_I8 = Requantizer(integer_encoding("i8:32"))


def built(path: Path, wanted: Wanted) -> ov.Model:
    file = open_gguf(path)
    model = build_model(file, path.parent).model
    place_weights(model, file, wanted)
    model.validate_nodes_and_infer_types()
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits(tmp_path: Path, name: str) -> None:
    """In one go, with a cache, and in a batch with another text that is padded on the left."""
    source = write(tmp_path / "in.gguf", name)
    wanted, run, tokens = forward(source, name, IDS), Runner(built(source, Wanted())), len(IDS)
    ones, places = np.ones((1, tokens), np.int64), np.arange(tokens)[None]
    np.testing.assert_allclose(run(IDS[None], ones, places)[0], wanted, atol=ROUNDED)
    run.forget()
    first = run(IDS[None, :7], ones[:, :7], places[:, :7])
    rest = run(IDS[None, 7:], ones, places[:, 7:])
    np.testing.assert_allclose(np.concatenate([first, rest], axis=1)[0], wanted, atol=ROUNDED)
    run.forget()
    padded, mask = np.stack([IDS, np.r_[0, 0, 0, IDS[:-3]]]), np.ones((2, tokens), np.int64)
    mask[1, :3] = 0
    both = run(padded, mask, np.stack([places[0], np.r_[1, 1, 1, places[0, :-3]]]))
    np.testing.assert_allclose(both[0], wanted, atol=ROUNDED)
    np.testing.assert_allclose(both[1, 3:], wanted[:-3], atol=ROUNDED)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gemma3", "qwen3moe"])
def test_it_generates(ovpass: CommandLine, tmp_path: Path, name: str) -> None:
    source = write(tmp_path / "in.gguf", name)
    done = ovpass.succeed("convert", source, "-o", tmp_path / "out", "--json").json
    assert done["tokenizer"]
    (note,) = done["notes"]
    assert ("experts" if name == "qwen3moe" else "ATTENTION_BACKEND") in note
    pipeline = openvino_genai.LLMPipeline(tmp_path / "out", "CPU", ATTENTION_BACKEND="SDPA", **EXACT)
    ids = pipeline.get_tokenizer().encode("the than").input_ids.data.reshape(-1)
    expected: list[int] = []
    for _ in range(4):
        expected.append(int(forward(source, name, np.r_[ids, expected].astype(int))[-1].argmax()))
    prompt = ov.Tensor(ids[None])
    found = pipeline.generate(prompt, max_new_tokens=4, do_sample=False, ignore_eos=True).tokens[0]
    assert list(found) == expected


@pytest.mark.parametrize(
    ("kind", "asked", "weight_type", "error"),
    [
        ("Q8_0", Wanted(), "i8", 0),
        ("Q4_0", Wanted(), "i4", 0),
        ("Q4_0", Wanted(requantizer=IN_I8), "i4", 0),
        # zero points in f16 are rounded to 2^-11, as weights in f16 are
        ("Q4_1", Wanted(), "u4", 1e-3),
        ("Q4_1", Wanted(integer_zero_points=True), "u4", 0.1),
        ("Q4_1", Wanted(requantizer=IN_I8), "i8", 0.01),
        ("Q5_1", Wanted(integer_zero_points=True), "u8", 0.05),
        # the frontend does not read these
        ("IQ4_NL", Wanted(), "u4", 0),
        ("IQ4_NL", Wanted(requantizer=IN_I8), "i8", 0.01),
    ],
)
def test_weights(tmp_path: Path, kind: str, asked: Wanted, weight_type: str, error: float) -> None:
    source = write_gguf(tmp_path / "in.gguf", kind)
    model, wanted = built(source, asked), weights_in(source, heads={"none": 1})
    sites = find_compressed_matmuls(model)
    assert {site.weight_type for site in sites} == {weight_type}
    constants = {node.get_friendly_name(): node for node in model.get_ops()}
    for site in sites:
        values = evaluate(constants[site.name].input_value(1))
        assert min(error_of(values, each) for each in wanted.values() if each.shape == values.shape) <= error


def error_of(values: Array, wanted: Array) -> float:
    return float(np.linalg.norm(values - wanted) / np.linalg.norm(wanted))


def test_what_the_frontend_does_not_build(ovpass: CommandLine, tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "in.gguf", architecture="mamba")
    said = ovpass.refuse("convert", source, "-o", tmp_path / "out")
    assert "does not support architecture 'mamba'" in said
    assert [path.name for path in tmp_path.iterdir()] == ["in.gguf"]
