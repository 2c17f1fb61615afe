"""Encoders and other models by their outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from ovpass.errors import OvpassError
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.model_outputs import ArraysReport, load_case
from ovpass.evaluation.options import Evaluation, HarnessOptions
from tests.builders import linear_model
from tests.cli.command import ENCODER, LLAMA
from tests.passes.helpers import activations, outputs

NAMES = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("linear") / "linear.xml"
    ov.save_model(linear_model(), path, compress_to_fp16=False)
    return path


def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.slow
def test_an_encoder_on_text() -> None:
    how = Evaluation(tokenizer=LLAMA, windows=3, window_tokens=40)
    report = evaluate(ENCODER, [ENCODER, f"{ENCODER}@32,profile=cpu", f"{ENCODER}@per-token,threshold=0"], how)
    assert isinstance(report, ArraysReport)
    itself, grouped, per_token = (judged.outputs[0] for judged in report.candidates)
    assert itself.name == "last_hidden_state"
    assert (itself.relative_error.value, itself.maximum) == (0, 0)
    assert itself.cosine.value == pytest.approx(1, abs=1e-12)
    assert 1 > grouped.cosine.value > per_token.cosine.value > 0.9
    assert per_token.cosine.interval is not None
    assert [judged.inputs for judged in report.candidates] == [3, 3, 3]


@pytest.mark.vnni
def test_given_inputs_by_hand(linear: Path, tmp_path: Path) -> None:
    cases = [activations(1, 4, 512, seed=seed) for seed in range(2)]
    files = [saved(tmp_path / f"{i}.npz", x=x) for i, x in enumerate(cases)]
    report = evaluate(linear, [f"{linear}@DYNAMIC_QUANTIZATION_GROUP_SIZE=32"], Evaluation(inputs=files))
    assert isinstance(report, ArraysReport)
    (found,) = report.candidates[0].outputs
    model = linear_model()
    pairs = [(outputs(model, {"x": x}, 0)[0], outputs(model, {"x": x}, 32)[0]) for x in cases]
    errors = [np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in pairs]
    assert found.relative_error.value == pytest.approx(np.mean(errors), rel=1e-4)  # of differences in f32
    assert found.maximum == pytest.approx(max(np.abs(a - b).max() for a, b in pairs), rel=1e-4)
    rows = [(a[0], b[0]) for a, b in pairs]
    cosines = [(a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1) for a, b in rows]
    assert found.cosine.value == pytest.approx(np.mean(cosines), abs=1e-6)


def test_inputs_in_a_file(tmp_path: Path) -> None:
    model = ov.Core().read_model(ENCODER / "openvino_model.xml")
    ids = np.ones((1, 5), np.int64)
    case = load_case(saved(tmp_path / "good.npz", unused=ids, **dict.fromkeys(NAMES, ids)), model)
    assert set(case) == set(NAMES)


def broken(folder: Path) -> dict[str, Path]:
    (folder / "text.npz").write_text("no archive")
    (folder / "empty.npz").write_bytes(b"")
    (folder / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    np.save(folder / "one.npy", np.zeros(3))
    x = np.zeros((1, 4, 512), np.float32)
    return {
        "cannot be read": folder / "text.npz",
        "empty.npz": folder / "empty.npz",
        "cut.npz": folder / "cut.npz",
        "one.npy": folder / "one.npy",
        "none.npz": folder / "none.npz",
        "no array for input x": saved(folder / "name.npz", y=x),
        r"\[1, 4, 500\]": saved(folder / "shape.npz", x=x[..., :500]),
    }


@pytest.mark.parametrize("number", range(7))
def test_inputs_that_do_not_fit(linear: Path, tmp_path: Path, number: int) -> None:
    words, path = list(broken(tmp_path).items())[number]
    with pytest.raises(OvpassError, match=words):
        evaluate(linear, [linear], Evaluation(inputs=[path]))


def test_inputs_of_another_type_are_converted_or_refused(linear: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "double.npz", x=activations(1, 4, 512).astype(np.float64))
    report = evaluate(linear, [linear], Evaluation(inputs=[path]))
    assert isinstance(report, ArraysReport)
    assert report.candidates[0].outputs[0].maximum == 0


def test_what_there_is_nothing_to_ask(linear: Path) -> None:
    with pytest.raises(OvpassError, match="--inputs"):
        evaluate(linear, [linear], Evaluation(tokenizer=LLAMA))
    with pytest.raises(OvpassError, match="language model"):
        evaluate(ENCODER, [ENCODER], Evaluation(harness=HarnessOptions(["any"])))


def test_outputs_that_cannot_be_compared(linear: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.xml"
    ov.save_model(linear_model(n=32), other, compress_to_fp16=False)
    path = saved(tmp_path / "x.npz", x=activations(1, 4, 512))
    with pytest.raises(OvpassError, match="no output of the same name and shape"):
        evaluate(linear, [other], Evaluation(inputs=[path]))
