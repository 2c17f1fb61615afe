"""What a test needs and this machine lacks: the test is skipped, and fails under CI, where nothing may be missing."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(part: str) -> NoReturn:
    """Leave the test because of `part`, in words that say how to get it."""
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(f"under CI nothing may be missing: {part}")
    pytest.skip(part)
