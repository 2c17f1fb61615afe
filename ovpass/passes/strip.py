"""Undo every pass: the stripped model computes bit for bit what the original computes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import openvino as ov

from ovpass.errors import ModelError
from ovpass.formats.packing import stored_bytes
from ovpass.ir.metadata import Metadata, ModelMetadata
from ovpass.ir.model_graph import PRECISE, bodies_of
from ovpass.ir.note import read_note, remove_note
from ovpass.ir.runtime_options import read_option, remove_option, write_option
from ovpass.passes.canonicalize import CANONICALIZED
from ovpass.passes.chains import UNDO, original
from ovpass.passes.editing import bypass, is_inserted
from ovpass.passes.requantize import REQUANTIZED
from ovpass.passes.runtime_options import OPTIONS
from ovpass.passes.vector_kernel import restore_matmuls
from ovpass.planning.recorded_plan import KERNELS, recorded_plan


@dataclass(frozen=True)
class Strip:
    """Take out all that ovpass put into a model; `left_out` counts nodes that its reader has left out already."""

    left_out: int = 0
    name: ClassVar[str] = "strip"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Remove inserted nodes, restore weights and options, and remove the note.

        Raises:
            ModelError: for a model that ovpass has not changed, or of which it has replaced weights or subgraphs.
        """
        metadata = ModelMetadata(model)
        note = strippable(metadata, model.get_friendly_name())
        counts = {"constants": 0, "nodes": self.left_out, "attributes": 0}
        plan = recorded_plan(metadata)
        marked = {d.name for d in plan.decisions if d.method == "precise"} if plan else set()
        for graph in _graphs(model):
            counts["nodes"] += restore_matmuls(graph, note.get(KERNELS, {}))
            counts["constants"] += _restore_constants(graph, note.get(UNDO, {}))
            counts["nodes"] += _remove_inserted(graph)
            counts["attributes"] += _remove_precise(graph, marked)
        _restore_options(metadata, note.get(OPTIONS, {}))
        remove_note(metadata)
        return counts


def strippable(metadata: Metadata, name: str) -> Mapping[str, Any]:
    """The note of a model that can be stripped; `name` is what errors call it.

    Raises:
        ModelError: as `Strip.run`.
    """
    note = read_note(metadata)
    if note is None:
        raise ModelError(f"{name}: ovpass has not changed this model; nothing to strip")
    if note.get(REQUANTIZED):
        raise ModelError(
            f"{name}: {len(note[REQUANTIZED])} weights were re-quantized, which cannot be undone; "
            "go back to the original model"
        )
    if note.get(CANONICALIZED):
        raise ModelError(
            f"{name}: {len(note[CANONICALIZED])} dynamically quantized MatMuls of the ONNX file were rewritten, "
            "which cannot be undone; go back to the original model"
        )
    return note


def _graphs(model: ov.Model) -> Iterator[ov.Model]:
    """The model and all bodies in it."""
    yield model
    for node in model.get_ops():
        for _, body in bodies_of(node):
            yield from _graphs(body)


def _restore_constants(graph: ov.Model, undo: Mapping[str, dict[str, Any]]) -> int:
    """Put back replaced Constants; one that something else still reads is found, not made again."""
    if not undo:
        return 0
    constants: dict[str, list[ov.Node]] = defaultdict(list)
    for node in graph.get_ops():
        if node.get_type_name() == "Constant":
            constants[node.get_friendly_name()].append(node)
    replaced = [node for name, nodes in constants.items() if name in undo for node in nodes]
    for constant in replaced:
        node = original(constant, undo[constant.get_friendly_name()])
        kept = next((other for other in constants.get(node.get_friendly_name(), ()) if _same(other, node)), node)
        for consumer in list(constant.output(0).get_target_inputs()):
            consumer.replace_source_output(kept.output(0))
    return len(replaced)


def _same(constant: ov.Node, node: ov.Node) -> bool:
    """Whether a Constant has the type, shape and values of another of its name: names can repeat."""
    return (
        node.get_type_name() == "Constant"
        and constant.get_output_element_type(0) == node.get_output_element_type(0)
        and list(constant.get_output_shape(0)) == list(node.get_output_shape(0))
        and bool(np.array_equal(stored_bytes(constant), stored_bytes(node)))
    )


def _remove_inserted(graph: ov.Model) -> int:
    """Bypass what was inserted, last first, so that each one reads an original node when its turn comes."""
    inserted = [node for node in graph.get_ordered_ops() if is_inserted(node)]
    for node in reversed(inserted):
        consumers = [port for port in node.output(0).get_target_inputs() if not is_inserted(port.get_node())]
        if consumers:
            bypass(_original_source(node), node.output(0))
    return len(inserted)


def _original_source(node: ov.Node) -> ov.Output:
    """The first output upstream, along data inputs, that ovpass did not make."""
    frontier, seen = [node], set()
    while frontier:
        current = frontier.pop(0)
        for value in current.input_values():
            producer = value.get_node()
            if not is_inserted(producer):
                return value
            if producer.get_type_name() != "Constant" and producer.get_name() not in seen:
                seen.add(producer.get_name())
                frontier.append(producer)
    raise AssertionError(f"{node.get_friendly_name()} has no original input")


def _remove_precise(graph: ov.Model, marked: set[str]) -> int:
    removed = 0
    names = {name for site in marked for name in _possible_names(site)}
    for node in graph.get_ops() if names else ():
        if node.get_friendly_name() not in names:
            continue
        for key in [key for key in node.get_rt_info() if key.startswith(PRECISE)]:
            del node.get_rt_info()[key]
            removed += 1
    return removed


def _possible_names(site: str) -> Iterator[str]:
    """What the MatMul itself can be called: the names of sites in bodies begin with the path to them."""
    parts = site.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _restore_options(metadata: Metadata, options: Mapping[str, str | None]) -> None:
    for name, before in options.items():
        if before is not None:
            write_option(metadata, name, before)
        elif read_option(metadata, name) is not None:  # somebody can have taken it out since
            remove_option(metadata, name)
