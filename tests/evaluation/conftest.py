"""Fixtures of the tests of evaluate."""

from tests.cli.conftest import llama, ovpass

__all__ = ["llama", "ovpass"]
