"""Fixtures of the tests of verify."""

from tests.cli.conftest import ovpass

__all__ = ["ovpass"]
