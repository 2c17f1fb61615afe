"""The command that starts OpenVINO Model Server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ovpass.support.printable import shell_word

CONFIG = "config.json"
"""What the server reads first: the models of a repository."""
PORT = 8000


def server_command(output: Path, environment: Mapping[str, str]) -> str:
    """What starts the server on a repository, with HTTP on `PORT`."""
    variables = [f"{name}={shell_word(value)}" for name, value in environment.items()]
    return " ".join([*variables, "ovms", "--config_path", shell_word(output / CONFIG), "--rest_port", str(PORT)])
