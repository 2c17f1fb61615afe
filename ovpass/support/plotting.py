"""Check the path of a plot before measurements start, and save the plot completely or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ovpass.errors import SettingsError
from ovpass.support.atomic_output import publish, staging
from ovpass.support.extras import extra_module

_FORMATS = (".png", ".svg", ".pdf")


def check_picture(path: Path) -> None:
    """Make sure that a picture can be drawn for that name.

    Raises:
        SettingsError: for another kind of file.
        ExtraError: without matplotlib.
    """
    if path.suffix.lower() not in _FORMATS:
        raise SettingsError(f"--plot {path}: the name ends in {', '.join(_FORMATS)}")
    extra_module("matplotlib", "plot", "--plot")


def new_figure(width: float, height: float) -> Any:
    """A matplotlib Figure of that size in inches, apart from any screen."""
    return extra_module("matplotlib.figure", "plot", "--plot").Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write the figure in the format that the path's suffix says.

    Raises:
        OutputError: if that is not possible.
    """
    with staging(path) as folder:
        figure.savefig(folder / path.name, dpi=120)
        publish(folder / path.name, path)
