"""What models are fed with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.verification.inputs import InputSpec, input_specs, make_inputs, shapes_for
from tests.builders import encoder_model, linear_model, llama_model

MODELS: dict[str, tuple[Callable[[], ov.Model], dict[str, tuple[int, ...]]]] = {
    "decoder": (llama_model, {"input_ids": (1, 7), "attention_mask": (1, 7), "beam_idx": (1,)}),
    "stateless": (
        lambda: llama_model(stateful=False),
        {"input_ids": (1, 7), "attention_mask": (1, 7), "past_key_values.0.key": (1, 2, 0, 32)},
    ),
    "encoder": (encoder_model, {"input_ids": (1, 7), "token_type_ids": (1, 7)}),
    "plain": (linear_model, {"x": (1, 7, 512)}),
    "matrix": (lambda: linear_model(rank=2), {"x": (7, 512)}),
    "transposed": (lambda: linear_model(transpose_a=True), {"x": (1, 512, 7)}),
    "static": (lambda: linear_model(static_tokens=5), {"x": (1, 5, 512)}),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_run_on_what_is_made_for_them(name: str) -> None:
    build, shapes = MODELS[name]
    compiled = ov.Core().compile_model(build(), "CPU")
    inputs = make_inputs(input_specs(compiled), 7)
    assert {key: inputs[key].shape for key in shapes} == shapes
    output = next(iter(compiled(inputs).values()))
    assert np.isfinite(output).all()
    assert 7 in output.shape or name == "static"


def test_values_are_what_the_names_say() -> None:
    inputs = make_inputs(
        [
            InputSpec("attention_mask", (-1, -1), "i64"),
            InputSpec("position_ids", (3, -1, -1), "i64"),
            InputSpec("token_type_ids", (-1, -1), "i64"),
            InputSpec("beam_idx", (-1,), "i32"),
        ],
        50,
    )
    assert inputs["attention_mask"].tolist() == [[1] * 50]
    assert inputs["position_ids"].tolist() == [[[*range(50)]]] * 3
    assert set(inputs["token_type_ids"].flat) == {0, 1}
    assert inputs["beam_idx"].tolist() == [0]


def test_a_scalar_and_a_sequence_count_stay_what_they_are() -> None:
    specs = [InputSpec("condition", (), "boolean"), InputSpec("beam_idx", (-1,), "i32")]
    assert shapes_for(specs, 9) == {"condition": (), "beam_idx": (1,)}


@pytest.mark.parametrize(
    ("specs", "shapes"),
    [
        ([InputSpec("x", (-1, 64), "f32")], [(9, 64)]),
        ([InputSpec("ids", (-1, -1), "i64"), InputSpec("pooled", (-1, 64), "f32")], [(1, 9), (1, 64)]),
        ([InputSpec("mask", (1, -1, -1), "f32"), InputSpec("x", (-1, 64), "f32")], [(1, 1, 9), (9, 64)]),
        ([InputSpec("input_features", (-1, 80, 256), "f32")], [(1, 80, 256)]),
        ([InputSpec("cache_params.past.ssm.0", (-1, 256, 16), "f32")], [(1, 256, 16)]),
    ],
    ids=["rows are tokens", "rows are sequences", "one sequence", "a spectrogram", "a state"],
)
def test_the_first_dimension_counts_tokens_or_sequences(specs: list[InputSpec], shapes: list[tuple[int, ...]]) -> None:
    assert list(shapes_for(specs, 9).values()) == shapes


def picture_model(side: int | None) -> ov.Model:
    """Patches of 4 x 4 pixels of a picture; with positions learned for one side, where that is given."""
    x = op.parameter([-1, 3, -1, -1], np.float32, name="pixel_values")
    x.output(0).set_names({"pixel_values"})
    patches = op.convolution(x, np.ones((8, 3, 4, 4), np.float32), [4, 4], [0, 0], [0, 0], [1, 1])
    rows = op.reshape(patches, np.array([0, 8, -1], np.int64), True)
    if side is not None:
        rows = op.add(rows, np.ones((1, 8, (side // 4) ** 2), np.float32))
    return ov.Model([rows], [x])


@pytest.mark.parametrize(("side", "tokens", "expected"), [(20, 7, 20), (20, 900, 20), (None, 9, 12), (None, 100, 40)])
def test_pictures_are_as_large_as_the_model_takes_them(side: int | None, tokens: int, expected: int) -> None:
    model = picture_model(side)
    inputs = make_inputs(input_specs(model), tokens)
    assert inputs["pixel_values"].shape == (1, 3, expected, expected)
    assert np.isfinite(next(iter(ov.Core().compile_model(model, "CPU")(inputs).values()))).all()
    assert model.input().get_partial_shape().is_dynamic  # looking changes nothing


def contrast_model(window: int = 16) -> ov.Model:
    """Text and picture as CLIP takes them: nothing of the picture's shape is told, and text has a window."""
    ids = op.parameter([-1, -1], np.int64, name="input_ids")
    picture = op.parameter([-1, -1, -1, -1], np.float32, name="pixel_values")
    pooled = op.parameter([-1, -1], np.float32, name="pooled_projections")
    for node in (ids, picture, pooled):
        node.output(0).set_names({node.get_friendly_name()})
    table, zero = op.constant(np.ones((64, 8), np.float32)), op.constant(np.int64(0))
    positions = op.gather(op.constant(np.ones((window, 8), np.float32)), positions_of(ids), zero)
    text = op.reduce_sum(op.add(op.gather(table, ids, zero), positions), np.array([1]))
    normal = op.divide(op.subtract(picture, np.float32(0.5)), np.float32(0.5))
    patches = op.convolution(normal, np.ones((8, 3, 4, 4), np.float32), [4, 4], [0, 0], [0, 0], [1, 1])
    rows = op.add(op.reshape(patches, np.array([0, 8, -1]), True), np.ones((1, 8, 25), np.float32))
    projected = op.matmul(op.convert(op.convert(pooled, "f16"), "f32"), np.ones((8, 24), np.float32), False, True)
    return ov.Model([op.add(op.add(op.reduce_sum(rows, np.array([2])), text), projected)], [ids, picture, pooled])


def positions_of(ids: ov.Node) -> ov.Node:
    length = op.gather(op.shape_of(ids), op.constant(np.int64(1)), op.constant(np.int64(0)))
    return op.range(op.constant(np.int64(0)), length, op.constant(np.int64(1)), "i64")


def test_channels_and_features_are_those_of_the_weights_that_they_meet() -> None:
    model = contrast_model()
    inputs = make_inputs(input_specs(model), 7)
    shapes = {name: value.shape for name, value in inputs.items()}
    assert shapes == {"input_ids": (1, 7), "pixel_values": (1, 3, 20, 20), "pooled_projections": (1, 24)}
    assert np.isfinite(next(iter(ov.Core().compile_model(model, "CPU")(inputs).values()))).all()


def test_rows_that_are_split_into_patches_are_as_long_as_those() -> None:
    rows = op.parameter([-1, -1], np.float32, name="hidden_states")
    rows.output(0).set_names({"hidden_states"})
    model = ov.Model([op.relu(op.reshape(rows, np.array([-1, 3, 2, 4, 4]), False))], [rows])
    assert make_inputs(input_specs(model), 7)["hidden_states"].shape == (7, 96)
