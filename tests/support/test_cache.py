"""Caches lie where the user keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovpass.support.cache import cache_folder


def test_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("measurements") == tmp_path / "ovpass" / "measurements"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder("encoded", "one") == tmp_path / "home" / ".cache" / "ovpass" / "encoded" / "one"
