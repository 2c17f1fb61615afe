"""Encoded weights on disk while a compression runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ovpass.compression.encoded_store import EncodedStore
from ovpass.errors import OutputError
from ovpass.formats import vector
from ovpass.formats.vector_encoding import VectorEncoding, VectorWeights

ENCODING = VectorEncoding.of(4, [16, 8])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EncodedStore:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return EncodedStore("run", VectorWeights)


def weights() -> list[VectorWeights]:
    """Two matrices with codebooks in common, one of them with a shift."""
    random = np.random.default_rng(0)
    books = tuple(random.standard_normal((1, count, 4)).astype(np.float32) for count in ENCODING.entries)
    codes = random.integers(0, 8, (2, 2, 6, 3)).astype(np.uint16)
    scale = np.ones((6, 1), np.float32)
    return [
        VectorWeights(ENCODING, codes[0], scale, codebooks=books),
        VectorWeights(ENCODING, codes[1], scale, codebooks=books, shift=scale),
    ]


def test_what_was_put_is_there_with_what_it_has_in_common(store: EncodedStore) -> None:
    assert store.get(3, ENCODING) is None
    store.put(3, weights())
    found = store.get(3, ENCODING)
    assert found is not None
    for own, other in zip(found, weights(), strict=True):
        assert isinstance(own, VectorWeights)
        assert np.array_equal(vector.decode(own), vector.decode(other))
    first, second = found
    assert isinstance(first, VectorWeights)
    assert isinstance(second, VectorWeights)
    assert all(own is other for own, other in zip(first.codebooks, second.codebooks, strict=True))


def test_what_is_damaged_is_encoded_again(store: EncodedStore, tmp_path: Path) -> None:
    store.put(0, weights())
    [path] = tmp_path.rglob("0-*.npz")
    path.write_bytes(path.read_bytes()[:-40])
    assert store.get(0, ENCODING) is None


def test_a_folder_that_cannot_be_written_is_named(store: EncodedStore, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OutputError, match="cannot keep encoded weights"):
        store.put(0, weights())
