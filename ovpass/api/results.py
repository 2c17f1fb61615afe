"""Results by model."""

from __future__ import annotations

from typing import TypeVar

from ovpass.support.shown import Shown

_Result = TypeVar("_Result")


class ByModel(Shown, dict[str, _Result]):
    """The results for the models of a file or folder. The keys are submodels, "" for a single model."""
