"""Bits a weight by how much the outputs of layers suffer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from ovpass.compression.bit_allocation import Layers, allocate, average_bits
from ovpass.compression.calibration import Calibration
from ovpass.compression.compress import Compressed, compress_source
from ovpass.compression.modes import vector_encoding
from ovpass.compression.recipe import Recipe
from ovpass.errors import SettingsError

FEW = Calibration(samples=4, tokens=32)
MIXED = Recipe("vq2", bits=6)
"""Codebooks weigh as much as codes where layers are so small: all in vq2 is 4 bits, in vq4 7.8."""
LAYERS = [Layers(((512, 512),), error) for error in (0.1, 0.4, 0.05, 0.2)]


def spent(layers: list[Layers], modes: list[str]) -> float:
    bits = sum(own.bits(vector_encoding(mode)) for own, mode in zip(layers, modes, strict=True))
    return bits / sum(own.weights for own in layers)


@pytest.mark.parametrize("budget", [2.2, 2.5, 3.0, 3.7, 4.2])
def test_a_budget_is_kept_and_no_further_step_fits(budget: float) -> None:
    modes = allocate(LAYERS, "vq2", budget)
    assert spent(LAYERS, modes) <= budget
    higher = {"vq2": "vq3", "vq3": "vq4"}
    for number, mode in enumerate(modes):
        if mode in higher:
            assert spent(LAYERS, [*modes[:number], higher[mode], *modes[number + 1 :]]) > budget


def test_larger_errors_get_no_fewer_bits() -> None:
    for mode, budget in product(("vq2", "vq3"), (3.4, 3.6, 3.8)):
        modes = allocate(LAYERS, mode, budget)
        by_error = [modes[number] for number in (2, 0, 3, 1)]
        assert by_error == sorted(by_error)
        assert set(modes) <= {mode, "vq3", "vq4"}


def test_small_layers_come_first_where_errors_are_the_same() -> None:
    layers = [Layers(((2048, 512),), 0.1), Layers(((256, 512),), 0.1), Layers(((2048, 512),), 0.1)]
    assert allocate(layers, "vq2", 2.3) == ["vq2", "vq4", "vq2"]


def test_layers_of_unknown_error_stay() -> None:
    assert allocate([Layers(((512, 512),)), Layers(((512, 512),), 0.1)], "vq2", 4.2) == ["vq2", "vq4"]


def test_average_counts_scales_and_one_codebook_for_layers_together() -> None:
    codes, scales, codebook = 2, 16 / 64, 256 * 4 * 16
    assert average_bits([Layers(((64, 64), (32, 64)))], "vq2") == pytest.approx(codes + scales + codebook / (96 * 64))


@pytest.fixture(scope="module")
def done(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    return compress_source(llama, tmp_path_factory.mktemp("mixed") / "out", MIXED, calibration=FEW)


def test_layers_of_one_model_differ(done: Compressed) -> None:
    words = {fmt.weights.split(" (")[0] for fmt in done.models[0].formats if fmt.weights.startswith("vector")}
    assert len(words) > 1
    [note] = [note for note in done.notes if "bits a weight" in note]
    assert 5 < float(note.split(": ")[1].split()[0]) <= 6


@pytest.mark.slow
def test_an_interrupted_run_resumes_in_its_second_pass(
    llama: Path, tmp_path: Path, done: Compressed, encodings: Callable[[int], list[int]]
) -> None:
    calls = encodings(4 + 1)
    with pytest.raises(KeyboardInterrupt):
        compress_source(llama, tmp_path / "out", MIXED, calibration=FEW)
    before = len(calls)
    compress_source(llama, tmp_path / "out", MIXED, calibration=FEW)
    assert len(calls) - before < 4
    assert (tmp_path / "out/openvino_model.bin").read_bytes() == (done.output / "openvino_model.bin").read_bytes()


def test_a_budget_below_the_fewest(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"bits 2\.5: vq2 takes 4\.00 with codebooks"):
        compress_source(llama, tmp_path / "out", Recipe("vq2", bits=2.5), calibration=FEW)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("mode", "options", "said"),
    [
        ("vq2", {"bits": 2}, "codes of vq2 alone have 2"),
        ("vq2", {"bits": float("nan")}, "bits nan"),
        ("vq4", {"bits": 5}, "not vq4"),
        ("int4_sym", {"bits": 3}, "not int4_sym"),
        ("vq2", {"bits": 3, "entries": (64,)}, "leave out"),
    ],
)
def test_options_that_do_not_fit(mode: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Recipe(mode, **options)
