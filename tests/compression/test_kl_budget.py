"""As few bits as a budget of KL divergence allows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import openvino as ov
import pytest

from ovpass.compression.calibration import Calibration
from ovpass.compression.compress import Compressed, compress_source
from ovpass.compression.layout import Layout
from ovpass.compression.recipe import Recipe
from ovpass.errors import SettingsError
from ovpass.evaluation.comparison import compare_logits
from ovpass.evaluation.corpus import read_text
from ovpass.evaluation.preparation import CLEAN, Prepared
from ovpass.evaluation.runner import Runner
from ovpass.tuning.sequential import Sums, looks, mean_of

MAX_KL = 0.1


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    """A short text, so that the whole of it is soon measured."""
    text = tmp_path_factory.mktemp("text") / "text.txt"
    text.write_text(read_text(None)[5_000:10_000], encoding="utf-8")
    return Calibration(text, samples=4, tokens=32)


def compress(llama: Path, output: Path, few: Calibration, max_kl: float = MAX_KL) -> Compressed:
    return compress_source(llama, output, Recipe("vq2", max_kl=max_kl), calibration=few)


@pytest.fixture(scope="module")
def done(llama: Path, few: Calibration, tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    return compress(llama, tmp_path_factory.mktemp("budget") / "out", few)


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


def test_what_was_measured_is_what_was_written(llama: Path, few: Calibration, done: Compressed) -> None:
    windows = few.read(llama, held_out=True).held_out
    models = [ov.Core().read_model(folder / "openvino_model.xml") for folder in (llama, done.output)]
    exact, written = (Runner(Prepared(model, CLEAN, None, ""), "model") for model in models)
    held_out = chain.from_iterable(looks(windows[:1], windows[1:])["held out"])
    sums = Sums.of([compare_logits(exact.logits(each), written.logits(each), each) for each in held_out])
    spent = layout_of(done).spent
    assert spent is not None
    assert sum(sums.tokens) == spent.tokens
    assert mean_of(sums.kl, sums.tokens).value == pytest.approx(spent.kl, rel=0.01)


@pytest.mark.slow
def test_what_was_encoded_for_one_budget_serves_others(
    llama: Path, few: Calibration, tmp_path: Path, done: Compressed, encodings: Callable[[int], list[int]]
) -> None:
    calls = encodings(99)
    compress_source(llama, tmp_path / "uniform", Recipe("vq2"), calibration=few)
    assert len(calls) == 4
    compress(llama, tmp_path / "first", few)
    assert 4 < len(calls) <= 4 + 2 * 4
    encoded = len(calls)
    compress(llama, tmp_path / "second", few)
    compress_source(llama, tmp_path / "third", Recipe("vq2", bits=layout_of(done).bits + 1e-6), calibration=few)
    assert len(calls) == encoded
    written = {path.read_bytes() for path in tmp_path.glob("[!u]*/openvino_model.bin")}
    assert written == {(done.output / "openvino_model.bin").read_bytes()}


@pytest.mark.slow
def test_a_budget_that_the_most_bits_exceed(llama: Path, few: Calibration, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"max-kl 1e-09: .* reaches 0\.0.* with all layers in vq4"):
        compress(llama, tmp_path / "out", few, 1e-9)
    assert not list(tmp_path.iterdir())
