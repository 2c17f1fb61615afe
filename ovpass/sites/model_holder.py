"""Models in memory: an ov.Model, or an object of optimum-intel that holds one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ovpass.errors import ModelError

if TYPE_CHECKING:
    import openvino as ov


class ModelHolder(Protocol):
    """A model of optimum-intel, whatever its task."""

    @property
    def model(self) -> ov.Model:
        """The graph."""


def held_model(model: ov.Model | ModelHolder) -> ov.Model:
    """The graph of a model in memory.

    Raises:
        ModelError: if `model` is something else.
    """
    import openvino as ov  # noqa: PLC0415 - sites of files are found without it

    held = model if isinstance(model, ov.Model) else getattr(model, "model", None)
    if not isinstance(held, ov.Model):
        raise ModelError(f"{type(model).__name__} is no ov.Model and has none; read files with ov.Core().read_model")
    return held
