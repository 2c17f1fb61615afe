"""What the module paths that PyTorch's exporter leaves in names (`__module.layers.0.mlp.fc1/aten::linear/MatMul`) add.

Structure comes first. A path counts where structure has no kind for a layer. Where attention places a module in a
block, all layers of that module are in the same one; a projection into or out of one of several stacks of blocks is in
the first or last of them, and what else is beside such modules is in none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ovpass.ir.graph import Graph

_PATH = re.compile(r"__module\.([^/]+)/")
_MODULE = re.compile(r"(?:^|\.)(?:layers?|h|blocks?|transformer_blocks)(?:\.\d+)+(?=\.)")
_ATTENTION = r"(?:^|\.)(?:self_attn|attn|attention|\w*SelfAttention|EncDecAttention)\.(?:self\.)?"
_FEED_FORWARD = r"(?:^|\.)(?:mlp|ffn|feed_forward|DenseReluDense|experts\.\d+)\."
_KINDS = tuple(
    (re.compile(before + last + "$"), kind)
    for before, endings in (
        (
            _ATTENTION,
            {
                "(?:q|q_proj|query|to_q)": "attn.q",
                "(?:k|k_proj|key|to_k)": "attn.k",
                "(?:v|v_proj|value|to_v)": "attn.v",
                r"(?:o|o_proj|out_proj|to_out\.0)": "attn.out",
            },
        ),
        (
            _FEED_FORWARD,
            {
                "(?:gate_proj|wi_0)": "mlp.gate",
                "(?:up_proj|fc1|dense1|wi|wi_1)": "mlp.up",
                "(?:down_proj|fc2|dense2|wo)": "mlp.down",
            },
        ),
        (r"(?:^|\.)\w*moe\.", {"input_linear": "mlp.gate_up", "output_linear": "mlp.down"}),
    )
    for last, kind in endings.items()
)


@dataclass
class _Stack:
    """The first of the layers in blocks that a module holds, and these blocks."""

    start: int
    blocks: set[int] = field(default_factory=set)


class ModulePaths:
    """The module paths of the linear layers of a graph; layers with other names have none."""

    def __init__(self, graph: Graph, linear: set[int]) -> None:
        found = {index: _PATH.match(graph.name(index)) for index in linear}
        self._paths = {index: match[1] for index, match in found.items() if match}

    def kinds(self, unknown: set[int]) -> dict[int, str]:
        """The kind of each of these layers whose path says one."""
        return {i: kind for i in unknown if i in self._paths and (kind := _kind(self._paths[i])) is not None}

    def layers(self, layers: Mapping[int, int], attention: set[int]) -> dict[int, int]:
        """The blocks of all layers, given those by structure and which layers belong to an attention."""
        blocks: dict[str, set[int]] = {}
        for index in sorted(attention & self._paths.keys() & layers.keys()):
            blocks.setdefault(_module(self._paths[index]), set()).add(layers[index])
        known = {module: next(iter(found)) for module, found in blocks.items() if module and len(found) == 1}
        stacks = self._stacks(known)
        changed = dict(layers)
        for index, path in self._paths.items():
            module, stack = _module(path), stacks.get(path.rpartition(".")[0])
            if module in known:
                changed[index] = known[module]
            elif module or index not in layers:
                continue
            elif stack is not None and len(stack.blocks) < len(known):
                changed[index] = min(stack.blocks) if index < stack.start else max(stack.blocks)
            elif layers[index] in known.values():
                del changed[index]  # heads, poolers and embeddings of time
        return changed

    def _stacks(self, known: Mapping[str, int]) -> dict[str, _Stack]:
        """What the modules around blocks hold, by their paths."""
        stacks: dict[str, _Stack] = {}
        for index in sorted(self._paths):
            around = module = _module(self._paths[index])
            while module in known and "." in around:
                around = around.rpartition(".")[0]
                stacks.setdefault(around, _Stack(index)).blocks.add(known[module])
        return stacks


def _kind(path: str) -> str | None:
    return next((kind for pattern, kind in _KINDS if pattern.search(path)), None)


def _module(path: str) -> str:
    """The path up to the innermost number of a block, "" where there is none."""
    last = max((match.end() for match in _MODULE.finditer(path)), default=0)
    return path[:last]
