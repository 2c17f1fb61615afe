"""What each layer of a real export is for, checked against the name that its source gave it."""

from __future__ import annotations

import re

import pytest

from ovpass.sites import find_compressed_matmuls
from tests.zoo.exports import Export, core, exports

KINDS = {
    "attn.q": r"(q_proj|query|to_q|add_q_proj|Attention\.q)",
    "attn.k": r"(k_proj|key|to_k|add_k_proj|Attention\.k)",
    "attn.v": r"(v_proj|value|to_v|add_v_proj|Attention\.v)",
    "attn.qkv": r"(qkv_proj|query_key_value|c_attn|attn\.qkv)",
    "attn.out": r"(self_attn\.(o|out)_proj|encoder_attn\.out_proj|Attention\.o|attn\.c_proj|attn\.proj|to_out\.0"
    r"|to_add_out|attention\.output\.dense|(self_attention|attention)\.dense)",
    "mlp.gate": r"(gate_proj|wi_0|w1|bmm/MatMul)",
    "mlp.up": r"(up_proj|wi_1|w3|fc1|c_fc|mlp\.dense_h_to_4h|intermediate\.dense|net\.0\.proj|bmm/MatMul_1|mlp\.0"
    r"|linear_1)",
    "mlp.gate_up": r"gate_up_proj",
    "mlp.down": r"(down_proj|wo|w2|fc2|mlp\.c_proj|dense_4h_to_h|(?<!attention\.)output\.dense|net\.2|bmm/MatMul_2"
    r"|mlp\.2|linear_2)",
    "lm_head": r"(lm_head|embed_out|proj_out|predictions\.decoder|shared)",
    "other": r"(mlp\.gate|shared_expert_gate|linear_attn\.\w+|conv\.(in|out)_proj|mixer\.\w+|text_projection"
    r"|predictions\.transform\.dense|norm1?(_context|_out)?\.linear|context_embedder|proj_out)",
}
OUTSIDE = ("projector", "merger", "embedder", "predictions", "norm", "text_projection", "gate.", "shared_expert_gate.")
BLOCK = re.compile(r"\b(?:layers?|h|block|blocks|transformer_blocks)\.(\d+)\.")


def source_name(export: Export, matmul: str) -> str:
    """The layer's name in the source: in the op's name, else, where ops were fused into it, in that of its weight."""
    named = any(call in matmul for call in ("aten::linear/", "aten::addmm/", "aten::bmm/"))
    return matmul if named else export.sources[matmul].removesuffix(".weight")


@pytest.mark.parametrize("export", exports(), ids=lambda export: export.key)
def test_kinds_and_blocks(export: Export) -> None:
    for site in find_compressed_matmuls(core().read_model(export.path)):
        name = source_name(export, site.name)
        layer = re.sub(r"/aten::(linear|addmm)/\w+$", "", name)
        assert re.search(rf"(^|[./:]|Self|EncDec){KINDS[site.kind]}$", layer), (site.kind, layer)
        block = BLOCK.search(name)
        if block is None:
            assert site.layer is None, name
        elif site.layer is not None:
            assert site.layer == int(block[1]), name
        else:
            assert site.kind == "other", name
            assert any(part in f"{layer}." for part in OUTSIDE), name
