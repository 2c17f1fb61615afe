"""What tests of kernels share."""

from __future__ import annotations

import pytest


@pytest.fixture
def small_models_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule of costs leaves layers of a test's size alone."""
    monkeypatch.setattr("ovpass.planning.kernel.costs_of", lambda _: None)
