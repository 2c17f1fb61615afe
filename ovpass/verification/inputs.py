"""Make inputs for a model from its shapes and types."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

_CACHES = ("past_key_values", "cache_params.past")
_IDS = 64
"""Token ids stay below this: any vocabulary has them."""
_MANY_TOKENS, _FEW_TOKENS = 97, 5
"""More than any window of positions, and no multiple of one; and as many as any text model takes."""
_LARGEST_WINDOW = 16
_LARGEST_PICTURE = 64
_WAY_TO_PATCHES = 8
_KEEPING_AXES = ("Convert", "Add", "Subtract", "Multiply", "Divide")


@dataclass(frozen=True)
class Picture:
    """What height and width may be: a multiple of `patch` pixels, up to `most` patches each."""

    patch: int
    most: int


@dataclass(frozen=True)
class InputSpec:
    """One input: its dimensions (-1: dynamic) and element type; `picture` for height and width of any size."""

    name: str
    shape: tuple[int, ...]
    element_type: str
    picture: Picture | None = None


def input_specs(model: ov.Model | ov.CompiledModel) -> list[InputSpec]:
    """What the model wants to be fed with.

    Of an `ov.Model` dimensions that it declares dynamic, but takes in one size only, are told as that size: channels
    and features that meet weights, pictures behind positions that were learned, and positions in the window of a
    convolution. The graph says the first, OpenVINO's own inference of shapes the others.
    """
    specs = []
    for port in model.inputs:
        shape = tuple(dim.get_length() if dim.is_static else -1 for dim in port.get_partial_shape())
        if isinstance(model, ov.Model):
            shape = _with_features(port.get_node(), shape)
        specs.append(InputSpec(port.get_any_name(), shape, port.get_element_type().to_string()))
    if isinstance(model, ov.Model) and any(_is_picture(spec) or _is_window(spec) for spec in specs):
        return _settled(model, specs)
    return specs


def shapes_for(specs: Sequence[InputSpec], tokens: int) -> dict[str, tuple[int, ...]]:
    """The shapes of all inputs for one sequence of `tokens` tokens, or a picture of about as many patches.

    Dynamic dimensions are 1, the last of them the number of tokens; the features behind it are static. The first
    dimension alone counts sequences or pictures, not tokens, where the rank or another input shows that there is one
    for them. So does an input of one dimension (`beam_idx`, `timestep`). A cache of past tokens is empty.
    """
    batched = any(spec.shape[:1] == (-1,) and spec.shape.count(-1) > 1 for spec in specs)
    return {spec.name: _shape(spec, tokens, batched=batched) for spec in specs}


def make_inputs(specs: Sequence[InputSpec], tokens: int, seed: int = 0) -> Mapping[str, npt.NDArray[Any]]:
    """Random token ids and activations; masks of ones, positions in order."""
    rng = np.random.default_rng(seed)
    shapes = shapes_for(specs, tokens)
    return {spec.name: _values(spec, shapes[spec.name], rng) for spec in specs}


def is_cache(spec: InputSpec) -> bool:
    """Whether the input holds what the model keeps of past tokens."""
    return spec.name.startswith(_CACHES)


def _shape(spec: InputSpec, tokens: int, *, batched: bool) -> tuple[int, ...]:
    if spec.picture is not None:
        side = spec.picture.patch * max(1, min(spec.picture.most, math.isqrt(tokens)))
        return (*(max(size, 1) for size in spec.shape[:-2]), side, side)
    dynamic = [axis for axis, size in enumerate(spec.shape) if size == -1]
    counted = dynamic[-1] if dynamic else None
    if counted == 0 and (len(spec.shape) != 2 or batched or is_cache(spec)):
        counted = None
    number = 0 if is_cache(spec) else tokens
    return tuple(number if axis == counted else 1 if size == -1 else size for axis, size in enumerate(spec.shape))


def _values(spec: InputSpec, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
    dtype = np.dtype(getattr(ov.Type, spec.element_type).to_dtype())
    if "mask" in spec.name:
        return np.ones(shape, dtype)
    if is_cache(spec):
        return np.zeros(shape, dtype)
    if "position" in spec.name and shape:
        return np.broadcast_to(np.arange(shape[-1]), shape).astype(dtype)
    if spec.name == "beam_idx":
        return np.arange(shape[0]).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        high = 2 if "type" in spec.name else _IDS
        return rng.integers(0, high, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


def _is_picture(spec: InputSpec) -> bool:
    return len(spec.shape) == 4 and spec.shape[2:] == (-1, -1) and spec.shape[1] > 0 and not is_cache(spec)


def _is_window(spec: InputSpec) -> bool:
    return spec.shape == (-1,) and "position" in spec.name


def _settled(model: ov.Model, specs: Sequence[InputSpec]) -> list[InputSpec]:
    """The specs with what shape inference lets pass."""
    trial, found = model.clone(), list(specs)
    for number, spec in enumerate(specs):
        if _is_picture(spec):
            found[number] = _settled_picture(trial, found, number)
        elif _is_window(spec):
            sizes = (*range(2, _LARGEST_WINDOW + 1), _MANY_TOKENS)
            fitting = [size for size in sizes if _fits(trial, _with(found, number, replace(spec, shape=(size,))))]
            if fitting and fitting[0] != _MANY_TOKENS:
                found[number] = replace(spec, shape=(fitting[0],))
    return found


def _settled_picture(trial: ov.Model, specs: Sequence[InputSpec], number: int) -> InputSpec:
    spec = specs[number]
    patch = _patch(trial.input(spec.name).get_node())

    def sized(patches: int) -> InputSpec:
        return replace(spec, shape=(*spec.shape[:2], patch * patches, patch * patches))

    def fits(patches: int) -> bool:
        tried = _with(specs, number, sized(patches))
        return _fits(trial, tried) or (len(specs) > 1 and _fits(trial, tried, _FEW_TOKENS))

    if fits(2):
        most = 2
        while most < _LARGEST_PICTURE and fits(2 * most):
            most *= 2
        return replace(spec, picture=Picture(patch, most))
    # One patch comes last: it would be added to positions of any number.
    only = next((patches for patches in (*range(3, _LARGEST_PICTURE + 1), 1) if fits(patches)), None)
    return spec if only is None else sized(only)


def _patch(parameter: ov.Node) -> int:
    """The stride of the first convolution behind the input."""
    convolution = next((node for node in _behind(parameter) if node.get_type_name() == "Convolution"), None)
    return 1 if convolution is None else int(convolution.get_attributes()["strides"][-1])


def _with_features(parameter: ov.Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with the number of channels or features that the first weights behind the input are for."""
    readers = (node for node in _behind(parameter, _KEEPING_AXES) if node.get_type_name() in _FEATURES)
    first = next(readers, None) if -1 in shape[1:] else None
    if first is None:
        return shape
    axis, features = _FEATURES[first.get_type_name()](first)
    axis %= len(shape)
    return (*shape[:axis], features, *shape[axis + 1 :]) if shape[axis] == -1 and features > 0 else shape


def _of_convolution(node: ov.Node) -> tuple[int, int]:
    filters = node.get_input_partial_shape(1)
    return 1, filters[1].get_length() if filters.rank.is_static and filters[1].is_static else -1


def _of_matmul(node: ov.Node) -> tuple[int, int]:
    weights, attributes = node.get_input_partial_shape(1), node.get_attributes()
    if weights.is_dynamic or len(weights) < 2 or attributes["transpose_a"]:
        return -1, -1
    return -1, weights[-1 if attributes["transpose_b"] else -2].get_length()


def _of_reshape(node: ov.Node) -> tuple[int, int]:
    """Rows that are split into pictures, as Qwen2-VL gets them."""
    pattern = node.input_value(1).get_node()
    sizes = pattern.get_vector().tolist() if pattern.get_type_name() == "Constant" else []
    return -1, math.prod(sizes[1:]) if sizes[:1] == [-1] and min(sizes[1:], default=0) > 0 else -1


_FEATURES: Mapping[str, Callable[[ov.Node], tuple[int, int]]] = {
    "Convolution": _of_convolution,
    "MatMul": _of_matmul,
    "Reshape": _of_reshape,
}
"""By type of op the axis of its data whose length its other input tells, and that length, -1 for none."""


def _behind(parameter: ov.Node, through: Collection[str] | None = None) -> Iterator[ov.Node]:
    """The ops that read the input, those that read what they make, and so on for a few steps; `through` these types."""
    nodes = [parameter]
    for _ in range(_WAY_TO_PATCHES):
        nodes = [target.get_node() for node in nodes for port in node.outputs() for target in port.get_target_inputs()]
        yield from nodes
        nodes = [node for node in nodes if through is None or node.get_type_name() in through]


def _with(specs: Sequence[InputSpec], number: int, spec: InputSpec) -> list[InputSpec]:
    return [*specs[:number], spec, *specs[number + 1 :]]


def _fits(trial: ov.Model, specs: Sequence[InputSpec], tokens: int = _MANY_TOKENS) -> bool:
    """Whether shapes for so many tokens go through the model, which keeps them if so."""
    try:
        trial.reshape({name: list(shape) for name, shape in shapes_for(specs, tokens).items()})
    except RuntimeError:
        return False
    return True
