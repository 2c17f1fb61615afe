"""The names that the MatMuls of a compiled model have in the model that was compiled.

Measured on OpenVINO 2026.4: `originalLayersNames` leads back to the model's own MatMuls through renaming and fusion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ovpass.ir.graph import Graph
from ovpass.sites.constant_arithmetic import FACTORS, constant_arithmetic
from ovpass.targets.group_sizes import PER_TOKEN

_CONVERTED = re.compile(r"_(de)?compressed_to_f(16|32)$")
_LOWERED = re.compile(r"/DequantizationMultiply$")

Readers = Mapping[str, list[str]]
"""By the name of a MatMul, those that the plugin could fuse with it."""


def readers_in(graph: Graph) -> Readers:
    """For each MatMul, the ones that the plugin could fuse with it, itself included.

    They read the same activation and weights of one type. Names are paths through the bodies of If and Loop. A factor
    behind a MatMul stands for that one: the plugin can fold it into the weights, and leaves its name.
    """
    readers: dict[tuple[object, ...], list[str]] = {}
    factors: dict[str, list[str]] = {}
    _collect(graph, "", readers, factors)
    return {**factors, **{name: names for names in readers.values() for name in names}}


def _collect(
    graph: Graph, prefix: str, readers: dict[tuple[object, ...], list[str]], factors: dict[str, list[str]]
) -> None:
    for index, kind in enumerate(graph.types):
        if kind == "MatMul":
            key = (prefix, *_activation(graph, index), *_weights(graph, index))
            name = prefix + graph.name(index)
            readers.setdefault(key, []).append(name)
            folded = (op.index for op in constant_arithmetic(graph, index) if op.kind in FACTORS)
            factors.update({prefix + graph.name(op): [name] for op in folded})
        for name, body in graph.bodies(index):
            _collect(body, f"{prefix}{graph.name(index)}/{name}/", readers, factors)


def _activation(graph: Graph, matmul: int) -> tuple[object, ...]:
    """What the MatMul reads; the plugin merges the equal Unsqueezes of a detour."""
    source = graph.inputs[matmul][0]
    if graph.types[source[0]] == "Unsqueeze":
        return ("Unsqueeze", graph.inputs[source[0]][0])
    return ("", source)


def _weights(graph: Graph, matmul: int) -> tuple[object, ...]:
    """How the weights are stored: their element type, and whether they have a zero point."""
    index, shifted = graph.inputs[matmul][1][0], False
    while graph.inputs[index] and graph.constant[index]:
        shifted = shifted or graph.types[index] == "Subtract"
        index = graph.inputs[index][0][0]
    return graph.element_type(index), shifted


def originals(name: str, readers: Readers) -> list[str]:
    """The MatMuls behind a name of the runtime model: `linear`, `linear.0`, `linear_with_bias_fused_3FCs`.

    `linear_decompressed_to_f32` is one whose product is read in f32: what converts it is fused into it.
    """
    if name not in readers:
        name = _CONVERTED.sub("", name)
    fused = re.fullmatch(r"(.*?)(?:_with_bias)?_fused_(\d+)FCs", name)
    if fused:
        together = readers.get(fused[1], [])
        return together if len(together) == int(fused[2]) else []
    plain = name if name in readers else re.sub(r"\.\d+$", "", name)
    behind = readers.get(plain, [])
    return [plain] if plain in behind else behind


def without_lowering(name: str) -> str:
    """The name of a MatMul without what the CPU plugin adds to that of an int8 product."""
    return _LOWERED.sub("", name)


def last_group(group_sizes: str) -> int:
    """The group size along K from the plugin's list for all axes."""
    last = int(group_sizes.rsplit(",", maxsplit=1)[-1])
    return PER_TOKEN if last == -1 else last
