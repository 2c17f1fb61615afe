"""What tests of passes share: run a model on the CPU plugin, compare, and describe a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import openvino as ov

from ovpass import api
from ovpass.lowerings.planner import make_plan
from ovpass.settings.settings import Rule, Settings
from ovpass.targets.reference_arithmetic import Array
from tests.targets.cases import merged

GROUP_SIZE = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
F32 = {"INFERENCE_PRECISION_HINT": "f32"}
"""Where the CPU plugin quantizes activations, and computes exactly where it does not."""


@cache
def core() -> ov.Core:
    return ov.Core()


def transformed(model: ov.Model, *rules: Rule, **settings: Any) -> ov.Model:
    """A changed clone."""
    return api.apply(model, make_plan(model, Settings(rules=rules, **settings)))


def compiled(model: ov.Model, group_size: int | None = None, **config: Any) -> ov.CompiledModel:
    """On the CPU plugin, in f32 unless `config` says otherwise; no group size leaves the model's own in force."""
    asked = {} if group_size is None else {GROUP_SIZE: str(group_size)}
    return core().compile_model(model, "CPU", {**F32, **asked, **config})


def outputs(
    model: ov.Model | ov.CompiledModel, inputs: Mapping[str, Any], group_size: int | None = None
) -> list[Array]:
    """The results, on the CPU plugin in f32."""
    ready = compiled(model, group_size) if isinstance(model, ov.Model) else model
    answers = ready(dict(inputs))
    return [np.array(answers[port]) for port in ready.outputs]


def together(
    models: Mapping[str, ov.Model], inputs: Mapping[str, Mapping[str, Any]], group_size: int
) -> dict[str, list[Array]]:
    """`outputs` of many models, compiled as one, which is much quicker."""
    ready = compiled(merged({name: model.clone() for name, model in models.items()}), group_size)
    answers = ready({f"{name}/{port}": value for name in models for port, value in inputs[name].items()})
    return {
        name: [np.array(answers[f"{name}/{sorted(port.get_names())[0]}"]) for port in model.outputs]
        for name, model in models.items()
    }


def activations(*shape: int, seed: int = 0, kind: type[np.generic] = np.float32) -> Array:
    """Activations of size one; a few are larger, as in real models."""
    generator = np.random.default_rng((seed, 17))
    values = generator.normal(size=shape)
    values[generator.random(shape) < 0.01] *= 5
    return values.astype(kind)


def relative(actual: Array | Sequence[Array], expected: Array | Sequence[Array]) -> float:
    """The largest difference, relative to the largest value."""
    pairs = [(actual, expected)] if isinstance(actual, np.ndarray) else list(zip(actual, expected, strict=True))
    worst = (np.abs(np.asarray(a, np.float64) - b).max() / np.abs(np.asarray(b)).max() for a, b in pairs)
    return float(max(worst))


def distance(actual: Sequence[Array], expected: Sequence[Array]) -> float:
    """The root mean square of the difference, relative to that of the values."""
    pairs = zip(actual, expected, strict=True)
    return float(max(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b) for a, b in pairs))


def same(actual: Sequence[Array], expected: Sequence[Array]) -> bool:
    """Bit for bit."""
    return all(a.tobytes() == b.tobytes() for a, b in zip(actual, expected, strict=True))


def bodies(node: ov.Node) -> list[tuple[str, ov.Model]]:
    """The bodies of an If, Loop or TensorIterator; none for any other node."""
    kind = node.get_type_name()
    if kind == "If":
        return [("then_body", node.get_function(0)), ("else_body", node.get_function(1))]
    if kind == "Loop":
        return [("body", node.get_function())]
    return [("body", node.get_body())] if kind == "TensorIterator" else []


def graphs(model: ov.Model, prefix: str = "") -> list[tuple[str, ov.Model]]:
    """The model and all bodies in it, each under the path to it."""
    found = [(prefix, model)]
    for node in model.get_ordered_ops():
        for name, body in bodies(node):
            found += graphs(body, f"{prefix}{node.get_friendly_name()}/{name}/")
    return found


def nodes(model: ov.Model) -> dict[str, ov.Node]:
    """Every node by the path to it."""
    return {f"{path}{node.get_friendly_name()}": node for path, graph in graphs(model) for node in graph.get_ops()}


def interface(model: ov.Model) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Node name, element type, shape and tensor names of each input and output."""
    return [
        (
            port.get_node().get_friendly_name(),
            port.get_element_type().to_string(),
            str(port.get_partial_shape()),
            tuple(sorted(port.get_names())),
        )
        for port in (*model.inputs, *model.outputs)
    ]


def described(node: ov.Node) -> tuple[Any, ...]:
    """Type, attributes, value, and the types, shapes and tensor names of the outputs."""
    content = node.data.tobytes() if node.get_type_name() == "Constant" else b""
    ports = [
        (port.get_element_type().to_string(), str(port.get_partial_shape()), tuple(sorted(port.get_names())))
        for port in node.outputs()
    ]
    attributes = {key: str(value) for key, value in node.get_attributes().items()}
    return node.get_type_name(), attributes, content, ports


def wired(node: ov.Node) -> tuple[Any, ...]:
    """A node and the names of what it reads."""
    sources = [(value.get_node().get_friendly_name(), value.get_index()) for value in node.input_values()]
    return (*described(node), sources)


def structure(model: ov.Model) -> dict[str, tuple[Any, ...]]:
    """Everything about a graph, by node."""
    return {name: wired(node) for name, node in nodes(model).items()}
