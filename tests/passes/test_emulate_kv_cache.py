"""An emulated KV cache gives back what the CPU plugin's gives, and what NumPy says of other formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.errors import PassError, SettingsError
from ovpass.formats.mant_encoding import magnitudes, mant
from ovpass.formats.mant_types import variance_limits
from ovpass.passes import EmulateKvCache, PassManager
from ovpass.passes.kv_quantizers import quantized
from ovpass.settings.kv_cache import CacheFormat, parse_cache_format
from tests.builders import encoder_model, llama_model

Array = npt.NDArray[Any]

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0", "KV_CACHE_PRECISION": "f32"}
TOKENS, VOCAB = 64, 320
IDS = np.random.default_rng(0).integers(0, VOCAB, TOKENS)
X = np.random.default_rng(1).standard_normal((6, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def llama() -> ov.Model:
    """Two query heads for each of keys and values."""
    return llama_model(1, 64, 4, 2, 128, VOCAB, stateful=True)


@pytest.fixture(scope="module")
def exact(llama: ov.Model) -> Array:
    """The logits with a cache in f32."""
    return logits(llama, 16)


def logits(model: ov.Model, chunk: int, **properties: str) -> Array:
    request = ov.Core().compile_model(model, "CPU", {**EXACT, **properties}).create_infer_request()
    found = []
    for start in range(0, TOKENS, chunk):
        end = start + chunk
        positions = np.arange(start, end)[np.newaxis]
        given = {
            "input_ids": IDS[np.newaxis, start:end],
            "attention_mask": np.ones((1, end), np.int64),
            "position_ids": positions,
            "beam_idx": np.zeros(1, np.int32),
        }
        request.infer(given)
        found.append(np.array(request.get_tensor("logits").data[0]))
    return np.concatenate(found)


def emulated(model: ov.Model, key: str | None, value: str | None) -> ov.Model:
    keys, values = (None if text is None else parse_cache_format("kv", text) for text in (key, value))
    return PassManager([EmulateKvCache(keys, values)]).run(model).model


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 16])
@pytest.mark.parametrize(("key", "value"), [("u8", "u8"), ("u8", "u4"), ("u4", "u4")])
def test_it_is_the_cache_of_the_cpu_plugin(llama: ov.Model, exact: Array, chunk: int, key: str, value: str) -> None:
    """To the order of sums: no code differs."""
    plugin = logits(llama, chunk, KEY_CACHE_PRECISION=key, VALUE_CACHE_PRECISION=value)
    found = logits(emulated(llama, key, value), chunk)
    effect = np.abs(plugin - exact).max()
    assert effect > 1e-3
    assert np.abs(found - plugin).max() < 1e-2 * effect


def test_zeros_in_broadcasts_of_gguf_graphs_become_ones(llama: ov.Model) -> None:
    """Plugins fuse those ops into attention; behind an emulated cache they are executed."""
    model = llama.clone()
    heads = [node for node in model.get_ops() if node.get_type_name() == "Broadcast" and node.get_output_size() == 1]
    heads = [node for node in heads if node.get_output_partial_shape(0).rank.get_length() == 5]
    assert len(heads) == 2
    for node in heads:
        lengths = [op.constant(np.array([value], np.int64)) for value in (1, 1, 2, 0, 1)]
        node.input(1).replace_source_output(op.concat(lengths, 0).output(0))
    found = logits(emulated(model, "u8", "u8"), 16)
    assert np.allclose(found, logits(emulated(llama, "u8", "u8"), 16), atol=1e-5)


def test_a_text_in_one_go_does_not_read_the_cache(llama: ov.Model, exact: Array) -> None:
    assert np.allclose(logits(emulated(llama, "u4", "u4"), TOKENS), exact, atol=1e-5)


def test_windows_that_are_not_full_are_in_8_bits(llama: ov.Model) -> None:
    byte = logits(emulated(llama, None, "u8"), 16)
    assert np.allclose(logits(emulated(llama, None, "mant4:window-128"), 16), byte, atol=1e-5)
    full = logits(emulated(llama, None, "mant4:window-32"), 16)
    assert np.allclose(full[:16], byte[:16], atol=1e-5)
    assert np.abs(full[40:] - byte[40:]).max() > 1e-3


@pytest.mark.parametrize("text", ["mant4", "mant4:8", "i8", "i4", "u4:window-16", "u8:window-16", "mant4a:window-16"])
def test_every_format_costs_something_and_not_too_much(llama: ov.Model, exact: Array, text: str) -> None:
    found = logits(emulated(llama, text, text), 16)
    assert 0 < np.abs(found - exact).mean() < 0.2 * np.abs(exact).mean()


def computed(kind: str, x: Array, axis: int = -1) -> Array:
    parameter = op.parameter(list(x.shape), np.float32)
    node = quantized(kind, parameter.output(0), axis, x.shape[axis], lambda node, _: node)
    model = ov.Model([op.result(node)], [parameter])
    return np.array(ov.Core().compile_model(model, "CPU", EXACT)([x])[0])


def test_m_ant_takes_the_type_of_its_variance() -> None:
    x = np.concatenate([X, X**3, np.sign(X) * np.abs(X) ** 0.2])
    largest = np.abs(x).max(axis=1, keepdims=True)
    types = np.searchsorted(variance_limits(16), (x**2).mean(axis=1) / largest[:, 0] ** 2)
    assert len(set(types)) > 4
    table = magnitudes(mant(4, 16))[types]
    values = (table / table[:, -1:])[:, np.newaxis] * largest[..., np.newaxis]
    nearest = np.abs(np.abs(x)[..., np.newaxis] - values).min(axis=-1)
    assert np.allclose(np.abs(computed("mant4", x) - x), nearest, atol=1e-6 * largest)
    assert np.allclose(computed("mant4", np.ascontiguousarray(x.T), 0), computed("mant4", x).T)


def test_m_ant_around_the_middle_does_not_see_a_shift() -> None:
    assert np.allclose(computed("mant4a", X + 8), computed("mant4a", X) + 8, atol=1e-5)
    assert np.abs(computed("mant4a", X + 8) - X - 8).mean() < 0.3 * np.abs(computed("mant4", X + 8) - X - 8).mean()


@pytest.mark.parametrize("kind", ["u8", "i8", "u4", "i4", "mant4", "mant4a"])
def test_equal_values_come_back(kind: str) -> None:
    for value in (0.0, 0.5, -3.0):
        found = computed(kind, np.full((2, 16), value, np.float32))
        assert np.allclose(found, value, atol=2e-3 * max(abs(value), 1))


def test_the_codes_of_gpus_have_half_precision_scales() -> None:
    low, high = X.min(axis=1, keepdims=True), X.max(axis=1, keepdims=True)
    factor = np.float32(255) / (high - low)
    zero_point = (-low * factor - 128).astype(np.float16).astype(np.float32)
    factor = factor.astype(np.float16).astype(np.float32)
    codes = np.rint(X * factor + zero_point).clip(-128, 127)
    scale = (1 / factor).astype(np.float16).astype(np.float32)
    assert np.allclose(computed("i8", X), (codes - zero_point) * scale, atol=1e-6)


def test_limits_rise_with_the_coefficient_and_fall_with_the_size() -> None:
    few, many = variance_limits(32), variance_limits(64)
    assert list(few) == sorted(few)
    assert sum(many) < sum(few)


def test_groups_must_divide_the_head(llama: ov.Model) -> None:
    with pytest.raises(PassError, match="groups of 12 elements do not divide heads of 16"):
        emulated(llama, "u4:12", None)


def test_a_model_without_a_cache_is_refused() -> None:
    with pytest.raises(PassError, match="keeps no keys and values"):
        PassManager([EmulateKvCache(CacheFormat("u8"))]).run(encoder_model())


@pytest.mark.parametrize("text", ["u5", "u4:", "u4:x", "u4:0", "u4:window", "u4:window-1", "mant4:-8"])
def test_formats_that_do_not_exist(text: str) -> None:
    with pytest.raises(SettingsError, match=r"kv_key"):
        parse_cache_format("kv_key", text)


def test_formats_are_written_as_they_are_read() -> None:
    for written in ("u8", "u4:32", "mant4a:window-16"):
        assert str(parse_cache_format("kv_key", written)) == written
