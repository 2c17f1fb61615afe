"""Facts about activations, against NumPy on the activations themselves."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from openvino import opset13 as op

from ovpass.evaluation.preparation import CLEAN, Prepared
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.windows import Window
from ovpass.ir.files import IrFile, open_source
from ovpass.sites import find_compressed_matmuls
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.reference_arithmetic import Array, dequantized
from ovpass.tuning.activation_statistics import Question, activation_facts
from tests.cli.command import LLAMA

TOKENS = Window(np.random.default_rng(0).integers(0, 320, 48), 47)
SUMS = 1e-4
"""Sums of some thousand values in f32, in another order."""


def ir() -> IrFile:
    (found,) = open_source(LLAMA).models
    return found


@cache
def activations_by_site() -> dict[str, Array]:
    """Activations [tokens, K] of all sites."""
    model = ir().read()
    sites, before = find_compressed_matmuls(model), len(model.outputs)
    model.add_results([op.result(site.activation) for site in sites])
    values = Runner(Prepared(model, CLEAN, None, ""), "activations").outputs(TOKENS)[before:]
    return {site.name: np.array(x).reshape(-1, site.k) for site, x in zip(sites, values, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("half", [True, False])
def test_errors_are_those_of_the_reference_arithmetic(half: bool, symmetric: bool) -> None:
    found = activation_facts(ir(), TOKENS, Question([32, PER_TOKEN], symmetric, half))
    for name, x in activations_by_site().items():
        assert set(found[name].errors) == {32, x.shape[-1]}
        for group, error in found[name].errors.items():
            wide = x.astype(np.float64)
            left = dequantized(x, group, symmetric=symmetric, half=half).astype(np.float64)
            assert error == pytest.approx(((wide - left) ** 2).sum() / (wide**2).sum(), rel=SUMS)


def test_outliers_are_counted_by_channel() -> None:
    found = activation_facts(ir(), TOKENS, Question([], symmetric=True, half=True))
    assert set(found) == set(activations_by_site())
    for name, x in activations_by_site().items():
        largest, energy = np.abs(x).max(0), np.sort((x.astype(np.float64) ** 2).sum(0))
        top = max(1, round(0.01 * x.shape[-1]))
        assert found[name].max_over_median == pytest.approx(largest.max() / np.median(largest), rel=SUMS)
        assert found[name].top_energy == pytest.approx(energy[-top:].sum() / energy.sum(), rel=SUMS)
        assert found[name].errors == {}


def test_groups_that_do_not_divide_k_are_left_out() -> None:
    found = activation_facts(ir(), TOKENS, Question([64, 96, 200], symmetric=True, half=True))
    by_k = {x.shape[-1]: set(found[name].errors) for name, x in activations_by_site().items()}
    assert by_k == {128: {64, 128}, 256: {64}}
