"""What models are fed with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
import pytest

from ovpass.verification.inputs import InputSpec, input_specs, make_inputs, shape_for
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
    assert shape_for(InputSpec("condition", (), "boolean"), 9) == ()
    assert shape_for(InputSpec("beam_idx", (-1,), "i32"), 9) == (1,)
