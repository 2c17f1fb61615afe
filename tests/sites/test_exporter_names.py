"""Exports whose structure alone says too little: kinds and blocks against the names that PyTorch's exporter left.

`graphs` holds the graphs of tiny exports by optimum-intel, without weights.
"""

from __future__ import annotations

import lzma
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from ovpass.ir.text_graph import IrGraph
from ovpass.sites import CompressedMatMul, find_sites

GRAPHS = Path(__file__).parent / "graphs"
KINDS = {
    r"(q_proj|self\.query)": "attn.q",
    r"(k_proj|self\.key)": "attn.k",
    r"(v_proj|self\.value)": "attn.v",
    r"(self_attn\.(out|o)_proj|attention\.output\.dense|head\.attention)": "attn.out",
    r"self_attn\.gate_proj": "attn.gate",
    r"(mlp\.gate_proj|\w+experts\.gate_proj|mlp/aten::bmm/MatMul)": "mlp.gate",
    r"(fc1|dense1|up_proj|intermediate\.dense|mlp/aten::bmm/MatMul_1)": "mlp.up",
    r"(fc2|dense2|down_proj|(\d|ffn\.\d)\.output\.dense|mlp/aten::bmm/MatMul_2)": "mlp.down",
    r"(lm_head|cls\.predictions|predictions\.decoder)": "lm_head",
}
"""By how the path of a module ends; all others are `other`."""


def sites(name: str) -> dict[str, CompressedMatMul]:
    """The sites of a graph by the paths of their modules, and what distinguishes products of one module."""
    net = ElementTree.fromstring(lzma.decompress((GRAPHS / f"{name}.xml.xz").read_bytes()))
    found = find_sites(IrGraph(net, Path(name)))
    return {re.sub(r"^__module\.|/aten::(linear|add_)/\w+$", "", site.name): site for site in found}


def kind_of(module: str) -> str:
    return next((kind for ending, kind in KINDS.items() if re.search(rf"(^|[./]){ending}$", module)), "other")


@pytest.mark.parametrize(
    ("name", "count"), [("siglip", 28), ("squeezebert", 2), ("mobilebert", 25), ("segformer", 14), ("afmoe", 21)]
)
def test_kinds(name: str, count: int) -> None:
    found = sites(name)
    assert len(found) == count
    assert {module: site.kind for module, site in found.items()} == {module: kind_of(module) for module in found}


@pytest.mark.parametrize("name", ["siglip", "squeezebert", "mobilebert", "segformer", "afmoe"])
def test_layers(name: str) -> None:
    for module, site in sites(name).items():
        block = re.search(r"(?:layers?|block)\.(\d+)\.", module)
        tower = 2 if module.startswith("text_model.") else 0
        assert site.layer == (int(block[1]) + tower if block else None), module
