"""Exports whose structure alone says too little: kinds and blocks against the names that PyTorch's exporter left.

`graphs` holds the graphs of tiny exports by optimum-intel, without weights.
"""

from __future__ import annotations

import lzma
import re
import tempfile
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.ir.net import read_net
from ovpass.ir.text_graph import IrGraph
from ovpass.sites import CompressedMatMul, find_compressed_matmuls, find_sites
from tests.builders import activation, finish
from tests.builders.layers import Value
from tests.sites.test_kinds import FMT, WIDTH, Roles, attention, gelu_mlp, linear, norm, roles

GRAPHS = Path(__file__).parent / "graphs"
KINDS = {
    r"(q_proj|self\.query|\w*SelfAttention\.q)": "attn.q",
    r"(k_proj|self\.key|\w*SelfAttention\.k)": "attn.k",
    r"(v_proj|self\.value|\w*SelfAttention\.v)": "attn.v",
    r"(self_attn\.(out|o)_proj|attention\.output\.dense|head\.attention_2|\w*SelfAttention\.o)": "attn.out",
    r"self_attn\.gate_proj": "attn.gate",
    r"(mlp\.gate_proj|\w+experts\.gate_proj|mlp/aten::bmm/MatMul)": "mlp.gate",
    r"block_sparse_moe\.input_linear(_\d)?": "mlp.gate_up",
    r"(fc1|dense1|DenseReluDense\.wi|up_proj|intermediate\.dense|mlp/aten::bmm/MatMul_1)": "mlp.up",
    r"(fc2|dense2|down_proj|(\d|ffn\.\d)\.output\.dense|mlp/aten::bmm/MatMul_2)": "mlp.down",
    r"(DenseReluDense\.wo|block_sparse_moe\.output_linear(_\d)?)": "mlp.down",
    r"(lm_head|cls\.predictions|predictions\.decoder|aten::div/Divide)": "lm_head",
}
"""By how the path of a module ends; all others are `other`."""


EXPORTS = {
    "siglip": 28,
    "squeezebert": 2,
    "mobilebert": 25,
    "segformer": 14,
    "afmoe": 21,
    "granitemoe": 27,
    "longt5-encoder": 12,
    "reranker": 14,
}
"""How many sites each has."""


def sites(name: str) -> dict[str, CompressedMatMul]:
    """The sites of a graph by the paths of their modules, numbered where one has several."""
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "model.xml"
        xml.write_bytes(lzma.decompress((GRAPHS / f"{name}.xml.xz").read_bytes()))
        net, _ = read_net(xml)
    found = find_sites(IrGraph(net, Path(name)))
    return {re.sub(r"^__module\.|/aten::(linear|add_)/[A-Za-z]+", "", site.name): site for site in found}


def kind_of(module: str) -> str:
    return next((kind for ending, kind in KINDS.items() if re.search(rf"(^|[./]){ending}$", module)), "other")


@pytest.mark.parametrize(("name", "count"), EXPORTS.items())
def test_kinds(name: str, count: int) -> None:
    found = sites(name)
    assert len(found) == count
    assert {module: site.kind for module, site in found.items()} == {module: kind_of(module) for module in found}


@pytest.mark.parametrize("name", EXPORTS)
def test_layers(name: str) -> None:
    for module, site in sites(name).items():
        block = re.search(r"(?:layers?|block)\.(\d+)\.", module)
        tower = 2 if module.startswith("text_model.") else 0
        assert site.layer == (int(block[1]) + tower if block else None), module


def exported(y: Value, *inputs: ov.op.Parameter) -> Roles:
    """The roles of a model whose layers are named as PyTorch's exporter would, by what the path of each begins with."""
    model = finish([y], list(inputs), ["y"])
    for site in find_compressed_matmuls(model):
        site.matmul.set_friendly_name(f"__module.{site.name}/aten::linear/MatMul")
    return {name.removeprefix("__module.").partition("/")[0]: role for name, role in roles(model).items()}


def attended(y: Value, path: str) -> Value:
    inner = norm(y)
    return op.add(y, attention(inner, inner, path))


def hidden(value: Value, path: str, first: str, last: str) -> Value:
    """Two layers with something between them of which no kind can be told."""
    return linear(op.cum_sum(linear(value, f"{path}.{first}", 2 * WIDTH), np.int64(1)), f"{path}.{last}", k=2 * WIDTH)


def test_a_feed_forward_part_in_front_of_attention_is_in_its_block() -> None:
    """As in Conformer."""
    x = activation(FMT, WIDTH)
    y: Value = x
    for block in range(3):
        y = op.add(y, gelu_mlp(norm(y), f"layers.{block}.ffn1"))
        y = attended(y, f"layers.{block}.self_attn")
        y = op.add(y, gelu_mlp(norm(y), f"layers.{block}.ffn2"))
    found = exported(y, x)
    assert {path: layer for path, (_, layer) in found.items()} == {path: int(path.split(".")[1]) for path in found}


def test_what_is_beside_the_numbered_modules_is_in_no_block() -> None:
    """An embedding of the time that is added to the stream, as in Sana."""
    x = activation(FMT, WIDTH)
    y: Value = op.add(x, gelu_mlp(x, "time_embed"))
    y = attended(y, "blocks.0.attn")
    found = exported(op.add(y, gelu_mlp(norm(y), "blocks.0.ff")), x)
    assert {path for path, (_, layer) in found.items() if layer is None} == {"time_embed.up", "time_embed.down"}
    assert found["blocks.0.ff.down"] == ("mlp.down", 0)


def test_projections_around_a_stack_of_blocks_are_in_the_first_and_the_last() -> None:
    """As in the UNet of Stable Diffusion XL."""
    x = activation(FMT, WIDTH)
    y: Value = x
    for stack in range(2):
        inner: Value = linear(norm(y), f"attentions.{stack}.proj_in")
        for block in range(2):
            inner = attended(inner, f"attentions.{stack}.transformer_blocks.{block}.attn1")
        y = op.add(y, linear(inner, f"attentions.{stack}.proj_out"))
    found = exported(y, x)
    for stack in range(2):
        assert found[f"attentions.{stack}.proj_in"][1] == 2 * stack
        assert found[f"attentions.{stack}.proj_out"][1] == 2 * stack + 1


def test_paths_say_kinds_where_structure_does_not() -> None:
    x = activation(FMT, WIDTH)
    y: Value = attended(x, "layers.0.self_attn")
    y = op.add(y, hidden(y, "layers.0.block_sparse_moe", "input_linear", "output_linear"))
    y = op.add(y, hidden(y, "layers.0.mlp", "fc1", "fc2"))
    found = exported(linear(y, "classifier"), x)
    assert found["layers.0.block_sparse_moe.input_linear"] == ("mlp.gate_up", 0)
    assert found["layers.0.block_sparse_moe.output_linear"] == ("mlp.down", 0)
    assert found["layers.0.mlp.fc1"] == ("mlp.up", 0)
    assert found["layers.0.mlp.fc2"] == ("mlp.down", 0)
    assert found["classifier"] == ("other", None)


def test_structure_is_believed_before_paths() -> None:
    x = activation(FMT, WIDTH)
    y = op.add(x, gelu_mlp(norm(x), "layers.0.self_attn.q_proj"))
    kinds = {path: kind for path, (kind, _) in exported(y, x).items()}
    assert set(kinds.values()) == {"mlp.up", "mlp.down"}
