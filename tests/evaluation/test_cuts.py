"""Cuts: models fall into blocks that hand on the residual stream, or it is said why not."""

from __future__ import annotations

from collections import Counter

import pytest

from ovpass.evaluation.cuts import Cut, UncuttableError, find_cut, why_whole
from ovpass.ir.model_graph import ModelGraph
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from tests.builders import llama_model, loop_model

HIDDEN = 128


def cut_of(blocks: int, *, stateful: bool = True) -> tuple[Cut, list[CompressedMatMul]]:
    model = llama_model(blocks, HIDDEN, stateful=stateful)
    sites = find_compressed_matmuls(model)
    return find_cut(ModelGraph(model), sites), sites


@pytest.mark.parametrize("stateful", [True, False])
def test_blocks_follow_each_other_and_the_head_follows_on_them(stateful: bool) -> None:
    cut, sites = cut_of(3, stateful=stateful)
    assert cut.count == 4
    for index, sources in enumerate(cut.graph.inputs):
        for producer, _ in sources:
            there, here = cut.segment[producer], cut.segment[index]
            assert there is None or here is None or there <= here
    layers = [(site.layer, cut.segment[site.index]) for site in sites]
    assert Counter(layers) == {(0, 0): 7, (1, 1): 7, (2, 2): 7, (None, 3): 1}


def test_only_the_residual_stream_goes_from_block_to_block() -> None:
    """What is computed once for all blocks (rotary embeddings, the mask) comes from the first one."""
    cut, _ = cut_of(4)
    for boundary in range(1, cut.count):
        fresh = [source for source, last in cut.crossing().items() if cut.segment[source[0]] == boundary - 1 > 0]
        assert all(cut.graph.shape(*source) == (-1, -1, HIDDEN) for source in fresh)
        assert len(fresh) == (boundary > 1)


def test_both_ends_of_a_state_are_in_one_segment() -> None:
    cut, _ = cut_of(3)
    states = [i for i, kind in enumerate(cut.graph.types) if kind in ("ReadValue", "Assign")]
    assert len({(cut.graph.variable(i), cut.segment[i]) for i in states}) == len(states) / 2


def test_one_block_is_no_chain() -> None:
    with pytest.raises(UncuttableError, match="fewer than two blocks"):
        cut_of(1)


def test_sites_in_bodies_tell_no_blocks() -> None:
    sites = find_compressed_matmuls(loop_model())
    assert "bod" in (why_whole(sites) or "")
