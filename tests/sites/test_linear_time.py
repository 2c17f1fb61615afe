"""Finding sites and picking them takes steps in proportion to their number: steps are counted, not timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from openvino import opset13 as op

from ovpass.ir.model_graph import ModelGraph
from ovpass.settings.selection import Candidates
from ovpass.sites.kinds import roles
from tests.builders import activation, finish
from tests.builders.layers import Value
from tests.sites.test_blocks import gated_mixer
from tests.sites.test_kinds import FMT, WIDTH, attention, gelu_mlp, linear, norm

BLOCKS = 12
MOST = 2.2
"""How much longer twice as many blocks may take."""


class Counted(list[Any]):
    """A list that counts how often its entries are asked for by index."""

    def __init__(self, entries: Iterable[Any]) -> None:
        super().__init__(entries)
        self.steps = 0

    def __getitem__(self, index: Any) -> Any:
        self.steps += 1
        return super().__getitem__(index)


def decoder(x: Value, name: str) -> Value:
    inner = norm(x)
    x = op.add(x, attention(inner, inner, f"{name}.attn"))
    return op.add(x, gelu_mlp(norm(x), f"{name}.mlp"))


def without_norms(x: Value, name: str) -> Value:
    x = op.add(x, attention(x, x, f"{name}.attn"))
    return op.add(x, gelu_mlp(x, f"{name}.mlp"))


def mixer(x: Value, name: str) -> Value:
    return op.add(x, gated_mixer(norm(x), name))


def gated(x: Value, name: str) -> Value:
    """A feed-forward part that is weighed by a router, whose own layer is of no kind."""
    inner = norm(x)
    weight = op.softmax(linear(inner, f"{name}.router"), -1)
    return op.add(decoder(x, name), op.multiply(gelu_mlp(inner, f"{name}.expert"), weight))


def steps(block: Callable[[Value, str], Value], blocks: int) -> int:
    """How many edges are looked up to tell the roles in a chain of blocks."""
    x = activation(FMT, WIDTH)
    y: Value = x
    for number in range(blocks):
        y = block(y, f"{number}")
    graph = ModelGraph(finish([linear(norm(y), "head", 4 * WIDTH)], [x], ["y"]))
    graph.inputs, graph.consumers = Counted(graph.inputs), Counted(graph.consumers)
    assert len(roles(graph)) > blocks
    return graph.inputs.steps + graph.consumers.steps


@pytest.mark.parametrize("block", [decoder, without_norms, mixer, gated])
def test_roles_take_steps_in_proportion_to_the_blocks(block: Callable[[Value, str], Value]) -> None:
    assert steps(block, 2 * BLOCKS) < MOST * steps(block, BLOCKS)


@dataclass
class Named:
    """A site that counts how often its name is asked for."""

    text: str
    kind: str = "other"
    layer: int | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        self.asked.append(self.text)
        return self.text


def test_exact_names_are_looked_up() -> None:
    """As many rules as sites do not try every site for every rule."""
    sites = [Named(f"site.{i}") for i in range(200)]
    candidates = Candidates(sites)
    for site in sites:
        assert candidates.select(site.text) == [site]
    assert sum(len(site.asked) for site in sites) < 5 * len(sites)


def test_walks_are_in_the_order_of_the_graph() -> None:
    """Who stops at the first has the nearest."""
    x = activation(FMT, WIDTH)
    graph = ModelGraph(finish([mixer(decoder(x, "0"), "1")], [x], ["y"]))
    start, end = 0, len(graph.types) - 1
    down, up = list(graph.downstream([start], lambda _: True)), list(graph.upstream([end], lambda _: True))
    assert down == sorted(down)
    assert up == sorted(up, reverse=True)
    assert np.all(np.isin(down, up))
