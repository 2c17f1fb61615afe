"""Fixtures for the verbs, whose tests use the name of the package for the package."""

from __future__ import annotations

import pytest

from tests.cli.command import CommandLine


@pytest.fixture
def command(ovpass: CommandLine) -> CommandLine:
    """The command line."""
    return ovpass
