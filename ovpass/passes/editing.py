"""Graph edits that passes share: mark, insert, and find inserted ops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import openvino as ov
from openvino import opset13 as op

from ovpass.errors import PassError
from ovpass.sites import CompressedMatMul
from ovpass.sites.inserted_ops import MARK


def mark(node: ov.Node, owner: ov.Node, role: str) -> ov.Node:
    """Name an inserted node after the MatMul it serves."""
    node.set_friendly_name(marked_name(owner, role))
    return node


def marked_name(owner: ov.Node, role: str) -> str:
    """The name of an inserted node."""
    return f"{owner.get_friendly_name()}{MARK}{role}"


def is_inserted(node: ov.Node) -> bool:
    """Whether ovpass put the node into the model."""
    return MARK in node.get_friendly_name()


def marker(owner: ov.Node) -> Callable[[ov.Node, str], ov.Node]:
    """`mark` for the nodes of one MatMul."""
    return lambda node, role: mark(node, owner, role)


def small_constant(value: object, dtype: type[np.generic], owner: ov.Node, role: str) -> ov.Node:
    """A Constant of a few elements, marked."""
    return mark(op.constant(np.array(value, dtype=dtype)), owner, role)


def feed(site: CompressedMatMul, source: ov.Output) -> None:
    """Let the site's MatMul read `source` as its activation.

    Raises:
        PassError: if the MatMul reads codes; Canonicalize comes first.
    """
    if site.noncanonical is not None:
        raise PassError(f"{site.name}: the model itself quantizes the activation; apply Canonicalize first")
    site.matmul.input(1 - site.weights_input).replace_source_output(source)


def append(node: ov.Node, build: Callable[[ov.Output], ov.Node]) -> ov.Node:
    """Put what `build` makes of the node's output between it and all its consumers; tensor names move along."""
    output = node.output(0)
    consumers = list(output.get_target_inputs())
    names = output.get_names()
    appended = build(output)
    for consumer in consumers:
        consumer.replace_source_output(appended.output(0))
    output.set_names(set())
    appended.output(0).set_names(names)
    return appended


def bypass(first: ov.Output, last: ov.Output) -> None:
    """Undo `append`: let all consumers of `last` read `first`, and give it the tensor names."""
    names = last.get_names()
    for consumer in list(last.get_target_inputs()):
        consumer.replace_source_output(first)
    last.set_names(set())
    first.set_names(first.get_names() | names)
