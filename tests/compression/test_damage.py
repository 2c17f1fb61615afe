"""Codebooks that are damaged, and a network that is not asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ovpass.compression.nncf_weights import read_codebook
from ovpass.errors import SettingsError
from tests.conversion.telemetry import consents


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\1\0\x10\0" + b"{" * 16], ids=["empty", "no header"])
def test_codebooks_that_are_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "table.npy").write_bytes(content)
    with pytest.raises(SettingsError, match=r"table\.npy: cannot be read"):
        read_codebook(tmp_path / "table.npy")


def test_codebooks_that_are_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "several.npz", table=np.arange(3.0))
    np.save(tmp_path / "infinite.npy", np.array([0, np.inf]))
    for name in ("several.npz", "infinite.npy"):
        with pytest.raises(SettingsError, match="must be one row"):
            read_codebook(tmp_path / name)


def test_no_statistics_of_compression_are_sent(llama: Path, tmp_path: Path) -> None:
    assert not any(consents("ovpass.compression.compress", "compress_source", llama, tmp_path / "out"))
    assert (tmp_path / "out/openvino_model.xml").exists()
