"""Names of nodes that come out the same in every process."""

from __future__ import annotations

import re

import openvino as ov


def number_nodes(model: ov.Model, everything: bool = False) -> ov.Model:
    """Number the nodes that nobody named, in topological order, and return the model.

    OpenVINO numbers them by a counter of the whole process: the same code gives other names the second time.
    With `everything` the named ones (inputs and results apart) become `MatMul_46` too.
    """
    for index, node in enumerate(model.get_ordered_ops()):
        kind = node.get_type_name()
        # a folded node keeps the name of the type it had: a Constant may be called Unsqueeze_7
        bare = re.fullmatch(r"([A-Z][A-Za-z0-9]*)_\d+(\.\d+)?", node.get_friendly_name())
        if bare or (everything and kind not in {"Parameter", "Result"}):
            node.set_friendly_name(f"{bare[1] if bare else kind}_{index}")
    return model
