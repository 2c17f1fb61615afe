"""Divergence, likelihood and agreement, token by token, against SciPy."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from ovpass.evaluation.comparison import Array, compare_logits
from ovpass.evaluation.windows import Window

SIZES = st.tuples(st.integers(1, 9), st.integers(2, 60), st.integers(0, 2**32 - 1), st.floats(0.01, 20))
ABSOLUTE = 2e-5
"""f32 has 24 bits: logits up to 80 are known to 5e-6, and a sum over a vocabulary adds some of that."""


def drawn(sizes: tuple[int, int, int, float]) -> tuple[Array, Array, Window]:
    tokens, vocabulary, seed, spread = sizes
    generator = np.random.default_rng(seed)
    reference, candidate = (generator.normal(0, spread, (tokens, vocabulary)).astype(np.float32) for _ in range(2))
    return reference, candidate, Window(generator.integers(0, vocabulary, tokens + 1), tokens)


@settings(max_examples=60, deadline=None)
@given(SIZES)
def test_against_scipy(sizes: tuple[int, int, int, float]) -> None:
    reference, candidate, window = drawn(sizes)
    scores = compare_logits(reference, candidate, window)
    p, q = (log_softmax(logits.astype(np.float64), -1) for logits in (reference, candidate))
    rows = np.arange(len(p))
    np.testing.assert_allclose(scores.kl, (np.exp(p) * (p - q)).sum(-1), rtol=1e-5, atol=ABSOLUTE)
    np.testing.assert_allclose(scores.nll, -q[rows, window.targets], rtol=1e-5, atol=ABSOLUTE)
    np.testing.assert_allclose(scores.reference_nll, -p[rows, window.targets], rtol=1e-5, atol=ABSOLUTE)
    assert np.array_equal(scores.agrees, p.argmax(-1) == q.argmax(-1))
    assert (scores.kl >= 0).all()


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_equal_logits_do_not_diverge(sizes: tuple[int, int, int, float]) -> None:
    reference, _, window = drawn(sizes)
    scores = compare_logits(reference, reference, window)
    assert not scores.kl.any()
    assert scores.agrees.all()
    assert np.array_equal(scores.nll, scores.reference_nll)


@settings(max_examples=40, deadline=None)
@given(SIZES, st.floats(-50, 50))
def test_a_shift_of_all_logits_changes_nothing(sizes: tuple[int, int, int, float], shift: float) -> None:
    reference, candidate, window = drawn(sizes)
    before = compare_logits(reference, candidate, window)
    after = compare_logits(reference, candidate + np.float32(shift), window)
    np.testing.assert_allclose(after.kl, before.kl, rtol=1e-4, atol=5 * ABSOLUTE)
    np.testing.assert_allclose(after.nll, before.nll, rtol=1e-4, atol=5 * ABSOLUTE)


def test_logits_in_half_precision() -> None:
    reference, candidate, window = drawn((4, 20, 0, 1.0))
    p, q = (logits.astype(np.float16) for logits in (reference, candidate))
    found = compare_logits(p, q, window)
    expected = compare_logits(p.astype(np.float32), q.astype(np.float32), window)
    assert np.array_equal(found.kl, expected.kl)
