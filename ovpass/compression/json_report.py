"""The result of a compression as plain data for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ovpass.compression.compress import Compressed
from ovpass.planning.json_report import plans_to_dict
from ovpass.targets.group_sizes import format_group_size
from ovpass.transformation.json_report import transformed_to_dict


def compressed_to_dict(done: Compressed) -> dict[str, Any]:
    """The models that were written, and what each target makes of them; sizes in bytes."""
    applied = {} if done.applied is None else {**plans_to_dict(done.applied.plans), **transformed_to_dict(done.applied)}
    return {
        "output": str(done.output),
        "mode": done.recipe.mode,
        "bits": done.recipe.bits,
        "max_kl": done.recipe.max_kl,
        "models": [
            {
                "model": model.key,
                "bytes_before": model.bytes_before,
                "bytes_after": model.bytes_after,
                "ignored": list(model.ignored),
                "left": list(model.left),
                "layout": None if model.layout is None else model.layout.to_dict(),
                "formats": [{**asdict(fmt), "sites": count} for fmt, count in model.formats.items()],
            }
            for model in done.models
        ],
        "targets": [
            {
                "target": entry.target,
                "sites": entry.sites,
                "quantized": entry.quantized,
                "group_size": format_group_size(entry.group_size),
                "fitting_group_sizes": [format_group_size(size) for size in entry.groups],
                "reasons": dict(entry.reasons),
            }
            for entry in done.advice
        ],
        **applied,
        "notes": [*done.notes, *applied.get("notes", [])],
    }
