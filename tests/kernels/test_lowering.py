"""The kernel lowering: what it replaces, what the CPU plugin computes, and that strip gives the model back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest

import ovpass
from ovpass.formats.vector_encoding import VectorEncoding
from ovpass.kernels import library
from tests.kernels.models import Array, saved, vector_model

pytestmark = pytest.mark.usefixtures("small_models_win")
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}
SETTINGS = ovpass.Settings(lowering="kernel", target="cpu")
ENCODINGS = {
    "two bits": VectorEncoding.of(4, [256]),
    "three bits": VectorEncoding.of(4, [256, 16]),
    "four bits": VectorEncoding.of(2, [200]),
    "residual": VectorEncoding.of(8, [100, 100]),
    "six bit codes": VectorEncoding.of(2, [64]),
}
TOLERANCE = 5e-3
"""Relative to the output's norm. Sums of 16 bits: 1e-3 to 2e-3; weights decoded to bf16: 2e-3 to 3e-3 (measured)."""


def outputs(path: Path, tokens: int) -> list[Array]:
    core = ov.Core()
    core.add_extension(str(library()))
    compiled = core.compile_model(core.read_model(path), "CPU", EXACT)
    x = np.random.default_rng(3).standard_normal((1, tokens, 96)).astype(np.float32)
    return [np.array(value) for value in compiled([x]).values()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ENCODINGS)
def test_the_cpu_plugin_computes_with_the_kernel(name: str, tmp_path: Path) -> None:
    source = saved(vector_model(ENCODINGS[name]), tmp_path)
    done = ovpass.transform(source, tmp_path / "kernel.xml", SETTINGS)
    assert done.counts["replace"] == 4
    for tokens in (1, 5, 40):
        for found, expected in zip(outputs(done.output, tokens), outputs(source, tokens), strict=True):
            assert found.shape == expected.shape
            assert np.linalg.norm(found - expected) < TOLERANCE * np.linalg.norm(expected)


@pytest.mark.parametrize("name", ENCODINGS)
def test_strip_gives_the_public_form_back(name: str, tmp_path: Path) -> None:
    source = saved(vector_model(ENCODINGS[name]), tmp_path)
    kernel = ovpass.transform(source, tmp_path / "kernel.xml", SETTINGS).output
    stripped = ovpass.strip_source(kernel, tmp_path / "stripped.xml").output
    for found, expected in zip(outputs(stripped, 3), outputs(source, 3), strict=True):
        assert np.array_equal(found, expected)
    before, after = (sorted(node.get_friendly_name() for node in read(path).get_ops()) for path in (source, stripped))
    unnamed = ("Constant_", "Reshape_")
    assert [n for n in before if not n.startswith(unnamed)] == [n for n in after if not n.startswith(unnamed)]
    assert stripped.with_suffix(".bin").stat().st_size <= source.with_suffix(".bin").stat().st_size * 1.05


def read(path: Path) -> ov.Model:
    return ov.Core().read_model(path)


def test_matmuls_of_one_activation_become_one_op(tmp_path: Path) -> None:
    source = saved(vector_model(ENCODINGS["two bits"]), tmp_path)
    kernel = ovpass.transform(source, tmp_path / "kernel.xml", SETTINGS)
    assert dict(next(iter(kernel.results.values()))[0].counts) == {"sites": 4, "ops": 2}


def test_what_has_no_kernel_stays_and_says_why(tmp_path: Path) -> None:
    model = vector_model(VectorEncoding.of(4, [300]))
    plan = ovpass.make_plan(model, SETTINGS)
    assert {decision.action for decision in plan.decisions} == {"skip"}
    assert "300 entries" in plan.decisions[0].reason
