"""Look at nodes of the graphs that the GGUF frontend builds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import openvino as ov
from openvino import opset13 as op


def integers(output: ov.Output) -> list[int] | None:
    """The numbers of a Constant of integers, None for anything else."""
    node = output.get_node()
    if node.get_type_name() != "Constant" or not output.get_element_type().is_integral():
        return None
    return [int(number) for number in np.asarray(node.data).reshape(-1)]


def consumers(output: ov.Output) -> list[ov.Node]:
    """The nodes that read an output."""
    return [port.get_node() for port in output.get_target_inputs()]


def redirect(old: ov.Output, new: ov.Output) -> None:
    """Let all that reads one output read another."""
    for port in list(old.get_target_inputs()):
        port.replace_source_output(new)


def constant(*numbers: int) -> ov.Node:
    """A vector of i64."""
    return op.constant(np.array(numbers, np.int64))


def sources(output: ov.Output, *types: str) -> ov.Output:
    """What an output is made of, behind nodes of these types with one data input."""
    while output.get_node().get_type_name() in types:
        output = output.get_node().input_value(0)
    return output


def of_type(model: ov.Model, *types: str) -> Iterator[ov.Node]:
    """The nodes of these types, in topological order."""
    return (node for node in model.get_ordered_ops() if node.get_type_name() in types)


def parameter(model: ov.Model, name: str) -> ov.Node | None:
    """The input of that name, None where the model has none."""
    return next((node for node in model.get_parameters() if node.get_friendly_name() == name), None)
