"""As few bits as a budget of KL divergence allows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ovpass.compression.calibration import Calibration
from ovpass.compression.compress import Compressed, compress_source
from ovpass.compression.layout import Layout
from ovpass.compression.recipe import Recipe
from ovpass.errors import SettingsError
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.language_model import TextReport
from ovpass.evaluation.options import LANGUAGE_MODEL, Evaluation

TOKENS = 32
FEW = Calibration(samples=4, tokens=TOKENS)
LOOK = 512 // TOKENS
"""Windows of the first look of the search, and of that on held-out text, which follow the samples."""
MAX_KL = 0.1


def compress(llama: Path, output: Path, max_kl: float = MAX_KL) -> Compressed:
    return compress_source(llama, output, Recipe("vq2", max_kl=max_kl), calibration=FEW)


@pytest.fixture(scope="module")
def done(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    return compress(llama, tmp_path_factory.mktemp("budget") / "out")


def layout_of(done: Compressed) -> Layout:
    layout = done.models[0].layout
    assert layout is not None
    return layout


def test_the_budget_holds_with_fewer_bits_than_the_most(done: Compressed) -> None:
    layout = layout_of(done)
    assert layout.spent is not None
    assert layout.spent.kl_interval is not None
    assert layout.spent.kl_interval[1] <= MAX_KL
    assert layout.layers["vq2"] > 0
    assert sum(layout.layers.values()) == 7


def test_what_was_measured_is_what_was_written(llama: Path, done: Compressed) -> None:
    before = LANGUAGE_MODEL.count * LANGUAGE_MODEL.tokens // TOKENS + FEW.samples + LOOK
    held_out = Evaluation(windows=LOOK, window_tokens=TOKENS, skip=before, profile="none")
    report = evaluate(llama, [done.output], held_out)
    spent = layout_of(done).spent
    assert isinstance(report, TextReport)
    assert spent is not None
    assert report.candidates[0].total.kl.mean.value == pytest.approx(spent.kl, rel=0.01)


@pytest.mark.slow
def test_what_was_encoded_for_one_budget_serves_others(
    llama: Path, tmp_path: Path, done: Compressed, encodings: Callable[[int], list[int]]
) -> None:
    calls = encodings(99)
    compress_source(llama, tmp_path / "uniform", Recipe("vq2"), calibration=FEW)
    assert len(calls) == 4
    compress(llama, tmp_path / "first")
    assert 4 < len(calls) <= 4 + 2 * 4
    encoded = len(calls)
    compress(llama, tmp_path / "second")
    compress_source(llama, tmp_path / "third", Recipe("vq2", bits=layout_of(done).bits + 1e-6), calibration=FEW)
    assert len(calls) == encoded
    written = {path.read_bytes() for path in tmp_path.glob("[!u]*/openvino_model.bin")}
    assert written == {(done.output / "openvino_model.bin").read_bytes()}


@pytest.mark.slow
def test_a_budget_that_the_most_bits_exceed(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"max-kl 1e-09: .* reaches 0\.0.* with all layers in vq4"):
        compress(llama, tmp_path / "out", 1e-9)
    assert not list(tmp_path.iterdir())
