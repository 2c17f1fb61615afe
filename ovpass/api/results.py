"""Results by model."""

from __future__ import annotations

from typing import TypeVar

_Result = TypeVar("_Result")


class ByModel(dict[str, _Result]):
    """The results for the models of a file or folder. The keys are submodels, "" for a single model."""
