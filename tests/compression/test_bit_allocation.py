"""Bits a weight by how much the outputs of layers suffer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from ovpass.compression.bit_allocation import Layers, average_bits, modes_after, steps
from ovpass.compression.calibration import Calibration
from ovpass.compression.compress import Compressed, compress_source
from ovpass.compression.recipe import Recipe
from ovpass.errors import SettingsError

FEW = Calibration(samples=4, tokens=32)
MIXED = Recipe("vq2", bits=6)
"""Codebooks weigh as much as codes where layers are so small: all in vq2 is 4 bits, in vq4 7.8."""
LAYERS = [Layers(((512, 512),), harm) for harm in (0.1, 0.4, 0.05, 0.2)]


def allocate(layers: list[Layers], mode: str, budget: float) -> list[str]:
    return modes_after(steps(layers, mode, budget), len(layers), mode)


@pytest.mark.parametrize("budget", [2.2, 2.5, 3.0, 3.7, 4.2])
def test_a_budget_is_kept_and_no_further_step_fits(budget: float) -> None:
    modes = allocate(LAYERS, "vq2", budget)
    assert average_bits(LAYERS, modes) <= budget
    higher = {"vq2": "vq3", "vq3": "vq4"}
    for number, mode in enumerate(modes):
        if mode in higher:
            assert average_bits(LAYERS, [*modes[:number], higher[mode], *modes[number + 1 :]]) > budget


def test_more_harm_gets_no_fewer_bits() -> None:
    for mode, budget in product(("vq2", "vq3"), (3.4, 3.6, 3.8)):
        modes = allocate(LAYERS, mode, budget)
        by_harm = [modes[number] for number in (2, 0, 3, 1)]
        assert by_harm == sorted(by_harm)
        assert set(modes) <= {mode, "vq3", "vq4"}


def test_small_layers_come_first_where_harm_is_the_same() -> None:
    layers = [Layers(((2048, 512),), 0.1), Layers(((256, 512),), 0.1), Layers(((2048, 512),), 0.1)]
    assert allocate(layers, "vq2", 2.3) == ["vq2", "vq4", "vq2"]


def test_layers_without_harm_stay() -> None:
    assert allocate([Layers(((512, 512),)), Layers(((512, 512),), 0.1)], "vq2", 4.2) == ["vq2", "vq4"]


def test_average_counts_scales_and_one_codebook_for_layers_together() -> None:
    codes, scales, codebook = 2, 16 / 64, 256 * 4 * 16
    assert average_bits([Layers(((64, 64), (32, 64)))], ["vq2"]) == pytest.approx(codes + scales + codebook / (96 * 64))


@pytest.fixture(scope="module")
def done(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    return compress_source(llama, tmp_path_factory.mktemp("mixed") / "out", MIXED, calibration=FEW)


def test_steps_without_a_budget_end_where_all_have_the_most_bits() -> None:
    taken = list(steps(LAYERS, "vq2"))
    assert modes_after(taken, len(LAYERS), "vq2") == ["vq4"] * len(LAYERS)
    assert sum(step.harm for step in taken) == pytest.approx(0.9 * sum(own.harm for own in LAYERS))


def test_layers_of_one_model_differ(done: Compressed) -> None:
    words = {fmt.weights.split(" (")[0] for fmt in done.models[0].formats if fmt.weights.startswith("vector")}
    assert len(words) > 1
    layout = done.models[0].layout
    assert layout is not None
    assert 5 < layout.bits <= 6
    assert sum(layout.layers.values()) == 7
    assert len(layout.layers) > 1


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
        ("vq2", {"bits": 3, "max_kl": 0.1}, "choose one"),
        ("vq2", {"max_kl": 0}, "max-kl 0: a budget"),
        ("vq2", {"max_kl": float("nan")}, "max-kl nan"),
        ("int4_sym", {"max_kl": 0.1}, "not int4_sym"),
    ],
)
def test_options_that_do_not_fit(mode: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Recipe(mode, **options)
