"""Vector quantization of matrices: the error of the output falls step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ovpass.compression import vector_fit
from ovpass.compression.vector_search import nearest_sums
from ovpass.compression.vector_weights import quantize
from ovpass.formats import vector
from ovpass.formats.vector_encoding import VectorEncoding, VectorWeights

Array = npt.NDArray[Any]
K = 64


@pytest.fixture(scope="module")
def moments() -> Array:
    """Of channels that differ in size and hang together."""
    random = np.random.default_rng(0)
    x = random.standard_normal((2000, K)) @ random.standard_normal((K, K)) * np.exp(random.standard_normal(K))
    return np.asarray(x.T @ x / len(x), np.float32)


@pytest.fixture(scope="module")
def matrices() -> list[Array]:
    random = np.random.default_rng(1)
    return [random.standard_normal((n, K)).astype(np.float32) * (1 + n) for n in (48, 24)]


def error(matrices: list[Array], found: list[Array], moments: Array) -> float:
    """Of the outputs, as a share of them."""
    lost = [own - other for own, other in zip(matrices, found, strict=True)]
    one, all_of_it = (sum(np.vdot(each @ moments, each) for each in group) for group in (lost, matrices))
    return float(one / all_of_it)


@pytest.mark.parametrize("entries", [[16], [16, 4], [8, 8, 8]], ids=str)
def test_outputs_are_nearer_than_by_the_nearest_weights(
    matrices: list[Array], moments: Array, entries: list[int]
) -> None:
    encoding = VectorEncoding.of(4, entries)
    found = quantize(matrices, moments, encoding)
    assert [each.matrix_shape for each in found] == [(48, K), (24, K)]
    assert found[0].codebooks[0] is found[1].codebooks[0]
    nearest = [vector.decode(vector.encode(each, encoding)) for each in matrices]
    assert error(matrices, [vector.decode(each) for each in found], moments) < 0.6 * error(matrices, nearest, moments)


def test_the_same_input_gives_the_same_codes(matrices: list[Array], moments: Array) -> None:
    first, second = (quantize(matrices, moments, VectorEncoding.of(4, [16])) for _ in range(2))
    assert all(np.array_equal(own.codes, other.codes) for own, other in zip(first, second, strict=True))


def test_every_round_takes_off_some_of_the_error(matrices: list[Array], moments: Array) -> None:
    encoding = VectorEncoding.of(4, [16, 16])
    errors = [
        error(matrices, [vector.decode(each) for each in quantize(matrices, moments, encoding, rounds=rounds)], moments)
        for rounds in (0, 1, 3)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_channels_that_are_always_zero_do_no_harm(matrices: list[Array], moments: Array) -> None:
    silent = moments.copy()
    silent[:8] = silent[:, :8] = 0
    found = quantize(matrices, silent, VectorEncoding.of(4, [16]))
    assert all(np.isfinite(vector.decode(each)).all() for each in found)


def started(matrices: list[Array], entries: tuple[int, ...]) -> tuple[Array, VectorWeights]:
    weights = np.concatenate(matrices)
    encoded = vector.encode(weights, VectorEncoding.of(4, entries))
    assert isinstance(encoded, VectorWeights)
    return weights, encoded


@pytest.mark.parametrize("entries", [(16,), (16, 8)], ids=str)
def test_each_step_lowers_the_error(matrices: list[Array], moments: Array, entries: tuple[int, ...]) -> None:
    weights, encoded = started(matrices, entries)
    books, codes, scale = [book[0] for book in encoded.codebooks], encoded.codes.astype(np.int64), encoded.scale
    assert scale is not None

    def left() -> float:
        return error([weights], [vector_fit.decoded(books, codes) * scale], moments)

    errors = [left()]
    scale = vector_fit.fitted_scales(weights, moments, books, codes, scale)
    errors.append(left())
    books = vector_fit.fitted_codebooks(weights, moments, books, codes, scale)
    errors.append(left())
    codes = vector_fit.refined_codes(weights, moments, books, codes, scale, beam=4, block=16)
    errors.append(left())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


def test_columns_in_another_order_give_the_same_weights() -> None:
    """What is loud comes first, wherever it is."""
    random = np.random.default_rng(5)
    weights = random.standard_normal((40, 32)).astype(np.float32)
    x = random.standard_normal((256, 32)).astype(np.float32) * np.exp(random.standard_normal(32)).astype(np.float32)
    order = (random.permutation(8)[:, None] * 4 + np.arange(4)).ravel()
    moments = x.T @ x
    encoding = VectorEncoding.of(4, [16])
    [plain] = quantize([weights], moments, encoding)
    [moved] = quantize([weights[:, order]], moments[np.ix_(order, order)], encoding)
    assert np.array_equal(vector.decode(plain)[:, order], vector.decode(moved))


def test_a_wide_beam_finds_the_nearest_sum() -> None:
    random = np.random.default_rng(4)
    targets = random.standard_normal((300, 4)).astype(np.float32)
    books = [random.standard_normal((count, 4)).astype(np.float32) for count in (12, 10)]
    sums = (books[0][:, None] + books[1]).reshape(-1, 4)
    best = np.square(targets[:, None] - sums).sum(-1).min(1)

    def distances(codes: Array) -> Array:
        return np.asarray(np.square(targets - books[0][codes[0]] - books[1][codes[1]]).sum(-1))

    assert np.allclose(distances(nearest_sums(targets, books, 12)), best, atol=1e-5)
