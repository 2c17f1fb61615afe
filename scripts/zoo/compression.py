"""Compress a model with NNCF, and write down what NNCF says that it did."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import nncf
import openvino as ov
from nncf import CompressWeightsMode
from nncf.quantization.algorithms.weight_compression.algorithm import WeightCompression

_PASSED = ("Convert", "Transpose", "Reshape", "Unsqueeze", "Squeeze")


@dataclass(frozen=True)
class Format:
    """How weights are stored; `options` go to NNCF as they are."""

    mode: str
    group_size: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The format in a word or two."""
        group = f" g{self.group_size}" if self.group_size else ""
        more = "".join(f", {key} {value}" for key, value in self.options.items())
        return f"{self.mode}{group}{more}"


def compress(model: ov.Model, wanted: Format) -> tuple[ov.Model, dict[str, Any]]:
    """The model with compressed weights, and NNCF's statistics: `modes` counts weights by mode and group.

    `weights` holds for each compressed Constant its mode, its group size (-1: per channel) and the ops that read it,
    by type. Readers are looked up before NNCF changes the graph.
    """
    nncf.set_log_level(logging.ERROR)
    readers = {node.get_friendly_name(): _readers(node) for node in model.get_ops() if _is_constant(node)}
    grouped = {} if wanted.group_size is None else {"group_size": wanted.group_size}
    with _statistics() as parameters:
        mode = CompressWeightsMode(wanted.mode)
        compressed = nncf.compress_weights(model, mode=mode, **grouped, **wanted.options)
    weights = {}
    for entry in parameters:
        name = entry.node_with_weight.layer_attributes.constant_attributes[entry.weight_port_id]["name"]
        config = entry.compression_config
        if config is not None:
            weights[name] = {"mode": config.mode.value, "group_size": config.group_size, "readers": readers[name]}
    modes = Counter(f"{entry['mode']} {entry['group_size']}" for entry in weights.values())
    return compressed, {"modes": dict(sorted(modes.items())), "weights": dict(sorted(weights.items()))}


@contextmanager
def _statistics() -> Iterator[list[Any]]:
    """What NNCF makes its table "Statistics of the bitwidth distribution" of, one entry a weight."""
    seen: list[Any] = []
    table = WeightCompression.get_bitwidth_distribution_str

    def listen(self: WeightCompression, everything: list[Any], *others: Any) -> str:
        seen.extend(everything)
        return table(self, everything, *others)

    WeightCompression.get_bitwidth_distribution_str = listen
    try:
        yield seen
    finally:
        WeightCompression.get_bitwidth_distribution_str = table


def _is_constant(node: ov.Node) -> bool:
    return node.get_type_name() == "Constant"


def _readers(constant: ov.Node) -> dict[str, list[str]]:
    """The ops that use a weight, by type, whatever shape it is brought into before."""
    found: dict[str, list[str]] = {}
    queue = [target.get_node() for target in constant.output(0).get_target_inputs()]
    while queue:
        node = queue.pop()
        if node.get_type_name() in _PASSED:
            queue += [target.get_node() for port in node.outputs() for target in port.get_target_inputs()]
        else:
            found.setdefault(node.get_type_name(), []).append(node.get_friendly_name())
    return {kind: sorted(set(names)) for kind, names in sorted(found.items())}
