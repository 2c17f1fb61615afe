"""Fixtures of the tests of bench."""

from tests.cli.conftest import ovpass

__all__ = ["ovpass"]
