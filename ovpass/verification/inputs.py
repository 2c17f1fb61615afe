"""Inputs that a model can be run with, made from its own descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

_PAST = "past_key_values"
_IDS = 64
"""Token ids stay below this: any vocabulary has them."""


@dataclass(frozen=True)
class InputSpec:
    """One input: its dimensions (-1: dynamic) and element type."""

    name: str
    shape: tuple[int, ...]
    element_type: str


def input_specs(model: ov.Model | ov.CompiledModel) -> list[InputSpec]:
    """What the model wants to be fed with."""
    specs = []
    for port in model.inputs:
        shape = tuple(dim.get_length() if dim.is_static else -1 for dim in port.get_partial_shape())
        specs.append(InputSpec(port.get_any_name(), shape, port.get_element_type().to_string()))
    return specs


def shape_for(spec: InputSpec, tokens: int) -> tuple[int, ...]:
    """The input's shape for one sequence of `tokens` tokens.

    Dynamic dimensions are 1, the last of them the number of tokens; the features behind it are static. An input of
    one dimension counts sequences (`beam_idx`), not tokens, and a cache of past tokens is empty.
    """
    if _PAST in spec.name:
        tokens = 0
    dynamic = [axis for axis, size in enumerate(spec.shape) if size == -1]
    last = dynamic[-1] if dynamic and len(spec.shape) > 1 else None
    return tuple(tokens if axis == last else 1 if size == -1 else size for axis, size in enumerate(spec.shape))


def make_inputs(specs: Sequence[InputSpec], tokens: int, seed: int = 0) -> Mapping[str, npt.NDArray[Any]]:
    """Random token ids and activations; masks of ones, positions in order."""
    rng = np.random.default_rng(seed)
    return {spec.name: _values(spec, shape_for(spec, tokens), rng) for spec in specs}


def _values(spec: InputSpec, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
    dtype = np.dtype(getattr(ov.Type, spec.element_type).to_dtype())
    if "mask" in spec.name:
        return np.ones(shape, dtype)
    if "position" in spec.name and len(shape) > 1:
        return np.broadcast_to(np.arange(shape[-1]), shape).astype(dtype)
    if spec.name == "beam_idx":
        return np.arange(shape[0]).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        high = 2 if "type" in spec.name else _IDS
        return rng.integers(0, high, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)
