"""Fixtures of the cost model's tests."""

from tests.cli.conftest import ovpass

__all__ = ["ovpass"]
