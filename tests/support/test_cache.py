"""Caches lie where the user keeps them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ovpass.support.cache import cache_folder, drop_oldest


def test_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("measurements") == tmp_path / "ovpass" / "measurements"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder("encoded", "one") == tmp_path / "home" / ".cache" / "ovpass" / "encoded" / "one"


def test_what_was_not_changed_for_longest_is_dropped(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "older", "oldest")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_bytes(bytes(60))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    drop_oldest(tmp_path, 120)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "older"]
    drop_oldest(tmp_path / "nowhere", 0)
