"""Arrays are read from whole files of NumPy; others are refused, however they are damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ovpass.support.array_files import read_arrays
from ovpass.support.structured_text import MalformedError

_ENTRY, _NAME = b"PK\x01\x02", b"x.npy"


def with_entry(content: bytes, offset: int, value: int) -> bytes:
    """A field of the archive's directory changed."""
    place = content.index(_ENTRY) + offset
    return content[:place] + struct.pack("<H", value) + content[place + 2 :]


def with_data(content: bytes) -> bytes:
    """The bytes behind the first name flipped."""
    start = content.index(_NAME) + len(_NAME) + 30
    return content[:start] + bytes(byte ^ 255 for byte in content[start : start + 40]) + content[start + 40 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[:50],
    "nothing": lambda _: b"",
    "a version of tomorrow": lambda content: with_entry(content, 6, 111),
    "patched data": lambda content: with_entry(content, 8, 1 << 5),
    "encrypted": lambda content: with_entry(content, 8, 1),
    "a compression that is none": lambda content: with_entry(content, 10, 77),
    "other data": with_data,
}


def test_arrays_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.eye(2))
    found = read_arrays(tmp_path / "a.npz")
    assert {name: array.tolist() for name, array in found.items()} == {"x": [0, 1, 2], "y": [[1, 0], [0, 1]]}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_archives_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).random(100))
    path.write_bytes(DAMAGE[name](path.read_bytes()))
    with pytest.raises(MalformedError):
        read_arrays(path)


def test_what_is_no_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "pickled.npz", x=np.array([object()]))
    for path in (tmp_path / "one.npy", tmp_path / "pickled.npz", tmp_path / "none.npz", tmp_path):
        with pytest.raises(MalformedError):
            read_arrays(path)
