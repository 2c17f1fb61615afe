"""Formats that NNCF does not have, from files to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.compression.calibration import random_inputs
from ovpass.compression.compress import Compressed, compress_source
from ovpass.compression.mant_weights import encode
from ovpass.compression.recipe import Recipe
from ovpass.errors import ModelError, SettingsError
from ovpass.formats.mant import decode
from ovpass.formats.mant_encoding import mant
from ovpass.formats.mant_reading import read_mant
from ovpass.ir.constant_folding import evaluate
from ovpass.sites import find_compressed_matmuls
from ovpass.verification.inputs import input_specs, make_inputs
from tests.compression.conftest import Compress
from tests.compression.test_compress import BODY, FEW, NAME, read, weight_types
from tests.passes.helpers import outputs

K, N, GROUP = 64, 48, 32
RNG = np.random.default_rng(5)
LOUD = np.exp(1.5 * RNG.standard_normal(K))
X = (RNG.standard_normal((512, K)) @ (np.eye(K) + 0.3 * RNG.standard_normal((K, K))) * LOUD).astype(np.float32)
MOMENTS = X.T @ X / np.float32(len(X))
W = RNG.standard_normal((N, K)).astype(np.float32)


def loss(recipe: Recipe, moments: np.ndarray | None = MOMENTS) -> float:
    """The squared error of the output."""
    first, second = encode([W[:30], W[30:]], moments, mant(4, GROUP), recipe)
    error = X @ (np.concatenate([decode(first), decode(second)]) - W).T
    return float((error**2).sum())


def test_moments_lower_the_error_of_the_output_and_feedback_lowers_it_further() -> None:
    plain = loss(Recipe("mant4"), None)
    weighted = loss(Recipe("mant4"))
    assert weighted < 0.8 * plain
    assert loss(Recipe("mant4", gptq=True)) < 0.9 * weighted


@pytest.fixture(scope="module")
def plain(compressed: Compress) -> Compressed:
    """Without a text."""
    return compressed(Recipe("mant4", group_size=GROUP))


@pytest.mark.parametrize("mode", ["mant4", "mant3"])
def test_a_model_in_m_ant(llama: Path, compressed: Compress, mode: str) -> None:
    done = compressed(Recipe(mode, group_size=GROUP))
    model = read(done.output)
    sites = find_compressed_matmuls(model)
    assert [site.format for site in sites[:BODY]] == ["mant"] * BODY
    assert {site.weight_group_size for site in sites[:BODY]} == {GROUP}
    assert (sites[-1].kind, sites[-1].weight_type) == ("lm_head", "u8")
    assert done.models[0].left == ()
    inputs = make_inputs(input_specs(model), 16)
    expected, found = (outputs(m, inputs, group_size=0)[0] for m in (read(llama), model))
    # 4 bits cost Gaussian weights in groups of 32 about 8 %, 3 bits twice that, and errors of several layers add up
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < (0.25 if mode == "mant4" else 0.5)


@pytest.mark.parametrize("method", [{"scale_estimation": True}, {"gptq": True}], ids=str)
def test_a_text_fits_the_weights(llama: Path, tmp_path: Path, plain: Compressed, method: dict[str, Any]) -> None:
    steps: list[str] = []
    recipe = Recipe("mant4", group_size=GROUP, **method)
    done = compress_source(llama, tmp_path / "out", recipe, calibration=FEW, progress=steps.append)
    assert weight_types(done) == {"u4": BODY, "u8": 1}
    assert "calibrating: sample 2 of 2" in steps
    first, second = ((each.output / "openvino_model.bin").read_bytes() for each in (plain, done))
    assert first != second


def test_all_layers_and_no_backup(llama: Path, tmp_path: Path) -> None:
    """The embedding that the head shares its weights with reads the same codes."""
    whole = compress_source(llama, tmp_path / "whole", Recipe("mant4", group_size=GROUP, all_layers=True))
    assert weight_types(whole) == {"u4": BODY + 1}
    part = compress_source(llama, tmp_path / "part", Recipe("mant4", group_size=GROUP, backup_mode="none"))
    assert weight_types(part) == {"u4": BODY}
    assert len(part.models[0].left) == 1


def test_what_a_model_computes_is_what_is_decoded(llama: Path, plain: Compressed) -> None:
    """To the bit: no step of the chain is in f16."""
    site = find_compressed_matmuls(read(plain.output))[0]
    chain = evaluate(site.matmul.input_value(1))
    assert np.array_equal(chain, decode(read_mant(site.graph, site.weights, chain.shape, transposed=False)))
    original = next(node for node in read(llama).get_ops() if node.get_friendly_name() == site.name)
    weights = np.asarray(evaluate(original.input_value(1)), np.float32)
    assert np.abs(chain - weights).max() < 0.3 * np.abs(weights).max()


def test_layers_that_a_group_does_not_fit(llama: Path, tmp_path: Path) -> None:
    recipe = Recipe("mant4", group_size=128)
    with pytest.raises(SettingsError, match=r"K=64 \(6 layers\).* use group-size 64"):
        compress_source(llama, tmp_path / "out", recipe)
    assert not any(tmp_path.iterdir())
    adjusted = compress_source(llama, tmp_path / "a", Recipe("mant4", group_size=128, group_size_fallback="adjust"))
    assert weight_types(adjusted) == {"u4": BODY, "u8": 1}
    left = compress_source(llama, tmp_path / "b", Recipe("mant4", group_size=128, group_size_fallback="ignore"))
    assert len(left.models[0].left) == BODY - 1


def test_ignored_layers_stay_as_they_are(llama: Path, tmp_path: Path) -> None:
    done = compress_source(
        llama, tmp_path / "out", Recipe("mant4", group_size=GROUP, ignore=("kind:lm_head", "kind:attn.v"))
    )
    assert weight_types(done) == {"u4": BODY - 1}


def test_a_compressed_model_is_refused(plain: Compressed, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="compressed weights already"):
        compress_source(plain.output, tmp_path / "twice", Recipe("mant4", group_size=GROUP))
    assert not (tmp_path / "twice").exists()


@pytest.mark.parametrize("option", [{"awq": True}, {"lora_correction": True}, {"ratio": 0.5}], ids=str)
def test_options_of_nncf_alone_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="mode mant4"):
        Recipe("mant4", **option)


def test_random_inputs_are_of_the_whole_vocabulary(llama: Path, tmp_path: Path) -> None:
    found = random_inputs(read(llama), llama / NAME)
    ids = np.concatenate([sample["input_ids"] for sample in found])
    assert ids.max() > 64
    assert len(found) == 8
    x = op.parameter(ov.PartialShape([-1, 4]), np.float32, name="x")
    x.output(0).set_names({"x"})
    assert random_inputs(ov.Model([op.result(op.abs(x))], [x]), tmp_path) == []
