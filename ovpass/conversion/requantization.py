"""Re-quantize weights that devices do not quantize activations for to integers with whole zero points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ovpass.errors import ModelError, SettingsError
from ovpass.formats import FORMATS, integer
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.support.formatting import counted, number
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = lazy_module("numpy")

_TYPES: dict[str, int | None] = {"i8": None, "u4": 32}
"""With the group size of each where none is named; None is a scale for each channel."""


@dataclass(frozen=True)
class Requantized:
    """What became of `layers` that were re-quantized; a `group_size` of None is a scale for each channel.

    Errors are norms of the difference, in percent of the norm of the weights: of all layers together, and of the one
    that lost most.
    """

    element_type: str
    group_size: int | None
    layers: int
    error_percent: float
    worst_layer: str
    worst_error_percent: float

    def __str__(self) -> str:
        what = f"{self.element_type}, a scale for each {f'{self.group_size} of K' if self.group_size else 'channel'}"
        layers = counted(self.layers, "layer is", "layers are")
        return (
            f"{layers} re-quantized to {what}, which changes the weights by {number(self.error_percent, 2)} % "
            f"(most: {self.worst_layer}, {number(self.worst_error_percent, 2)} %)"
        )


def integer_encoding(text: str) -> Encoding:
    """What `--requantize` asks for: `i8`, `u4`, or one of them in groups, such as `i8:64`.

    Raises:
        SettingsError: for another type, and for groups of no size.
    """
    kind, colon, size = text.partition(":")
    if kind not in _TYPES:
        raise SettingsError(f"requantize {text!r}: use {' or '.join(_TYPES)}, or a group size with it, as in i8:64")
    if not colon:
        return Encoding(integer.NAME, kind, _TYPES[kind], kind.startswith("i"))
    if not size.isascii() or not size.isdigit() or int(size) < 1:
        raise SettingsError(f"requantize {text!r}: the group size is a positive number, as in i8:64")
    return Encoding(integer.NAME, kind, int(size), kind.startswith("i"))


def has_integers(encoded: EncodedWeights | None) -> bool:
    """Whether weights are integers with whole zero points, which devices quantize activations for."""
    return encoded is not None and encoded.encoding.format == integer.NAME and encoded.whole_zero_points


class Requantizer:
    """Re-quantizes layers, and adds up what that changes."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._squares: dict[str, tuple[float, float]] = {}

    def encode(self, name: str, weights: Array) -> EncodedWeights:
        """The layer of that name.

        Raises:
            ModelError: for a K that the groups do not divide, and scales that are beyond f16.
        """
        try:
            encoded = FORMATS[integer.NAME].encode(weights, self._encoding)
        except ValueError as error:
            raise ModelError(f"{name}: cannot be re-quantized: {error}; choose another type or group size") from error
        change = FORMATS[integer.NAME].decode(encoded) - weights
        self._squares[name] = (_square(change), _square(weights))
        return encoded

    @property
    def result(self) -> Requantized | None:
        """What was done, None for nothing."""
        if not self._squares:
            return None
        errors = {name: _percent(*squares) for name, squares in self._squares.items()}
        worst = max(errors, key=lambda name: errors[name])
        together = _percent(*(sum(each) for each in zip(*self._squares.values(), strict=True)))
        kind, group = self._encoding.element_type, self._encoding.group_size
        return Requantized(kind, group, len(errors), together, worst, errors[worst])


def _square(values: Array) -> float:
    return float(np.square(values, dtype=np.float64).sum())


def _percent(error: float, size: float) -> float:
    return 100 * float((error / size) ** 0.5) if size else 0.0
