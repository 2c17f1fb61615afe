"""Inspections and transformations as plain data for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ovpass.sites import CompressedMatMul
from ovpass.targets import Verdict
from ovpass.targets.costs.work import weight_bytes
from ovpass.targets.group_sizes import format_group_size
from ovpass.transformation.inspection import Inspected
from ovpass.transformation.result import Transformed


def inspection_to_dict(model: Path, target: str, found: Sequence[Inspected]) -> dict[str, Any]:
    """The sites of all models of a source, with the target's verdicts."""
    return {
        "model": str(model),
        "target": target,
        "sites": [_site(item, site, judged) for item in found for site, judged in item.entries],
        "ops": sum(item.ops for item in found),
        "group_size": format_group_size(found[0].group_size) if found[0].group_size else 0,
        "openvino": version("openvino"),
    }


def _site(item: Inspected, site: CompressedMatMul, judged: Verdict) -> dict[str, Any]:
    submodel = {"submodel": item.key} if item.key else {}
    return {
        **submodel,
        "name": site.name,
        "kind": site.kind,
        "layer": site.layer,
        "k": site.k,
        "n": site.n,
        "format": site.format,
        "weight_type": site.weight_type,
        "weight_group_size": site.weight_group_size,
        "symmetric": site.symmetric,
        "codebook": site.codebook,
        "bits_per_weight": round(8 * weight_bytes(site) / (site.k * site.n), 4),
        "activation_rank": site.activation_rank,
        "group_id": site.group_id,
        "eligible": judged.eligible,
        "group_size": format_group_size(judged.group_size),
        "reason": judged.reason,
        "asked": item.asked.get(site.name),
    }


def transformed_to_dict(done: Transformed) -> dict[str, Any]:
    """What was written, and what each pass did."""
    return {
        "output": str(done.output),
        "weights": dict(done.weights),
        "passes": [
            {
                **({"submodel": key} if key else {}),
                "name": result.name,
                "changed": result.changed,
                "counts": dict(result.counts),
                "seconds": round(result.seconds, 4),
            }
            for key, results in done.results.items()
            for result in results
        ],
    }
