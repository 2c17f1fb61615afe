"""What the module paths that PyTorch's exporter leaves in names (`__module.layers.0.mlp.fc1/aten::linear/MatMul`) add.

Structure comes first. A path counts where structure has no kind for a layer; and where attention places a module in a
block, the layers without attention of that module are in the same one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
        for index in attention & self._paths.keys() & layers.keys():
            blocks.setdefault(_module(self._paths[index]), set()).add(layers[index])
        known = {module: next(iter(found)) for module, found in blocks.items() if module and len(found) == 1}
        if not known:
            return dict(layers)
        changed = dict(layers)
        for index, path in self._paths.items():
            module = _module(path)
            if module in known:
                changed[index] = known[module]
            elif not module and layers.get(index) in known.values():
                del changed[index]  # heads, poolers and embeddings of time are beside the blocks
            elif index in layers:
                self._enclose(index, path, known, changed)
        return changed

    def _enclose(self, index: int, path: str, known: Mapping[str, int], changed: dict[int, int]) -> None:
        """A projection into or out of a stack of blocks belongs to the first or the last of them."""
        around = path.rpartition(".")[0] + "."
        inside = [block for module, block in known.items() if module.startswith(around)]
        if inside:
            changed[index] = min(max(changed[index], min(inside)), max(inside))


def _kind(path: str) -> str | None:
    return next((kind for pattern, kind in _KINDS if pattern.search(path)), None)


def _module(path: str) -> str:
    """The path up to the innermost number of a block, "" where there is none."""
    last = max((match.end() for match in _MODULE.finditer(path)), default=0)
    return path[:last]
