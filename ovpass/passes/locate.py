"""Find the sites that a pass changes."""

from __future__ import annotations

from collections.abc import Collection

import openvino as ov

from ovpass.errors import PassError
from ovpass.ir.model_graph import ModelGraph
from ovpass.sites import CompressedMatMul, find_sites


def locate(model: ov.Model, names: Collection[str]) -> list[CompressedMatMul]:
    """The sites of those names, in topological order.

    Raises:
        PassError: if the model lacks one.
    """
    wanted = set(names)
    if not wanted:
        return []
    found = [site for site in find_sites(ModelGraph(model), wanted) if site.name in wanted]
    missing = wanted - {site.name for site in found}
    if missing:
        raise PassError(f"the model has no compressed MatMul {', '.join(sorted(missing)[:5])}")
    return found
