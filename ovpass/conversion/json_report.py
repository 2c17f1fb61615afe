"""The result of a conversion as plain data for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ovpass.conversion.convert import Converted


def converted_to_dict(done: Converted) -> dict[str, Any]:
    """The models that were written; sizes in bytes."""
    return {
        "output": str(done.output),
        "source": done.kind,
        "task": done.task,
        "tokenizer": done.tokenizer,
        "models": [
            {
                "model": model.key,
                "bytes": model.bytes,
                "ops": model.ops,
                "sites": model.sites,
                "layers": [asdict(layers) for layers in model.layers],
            }
            for model in done.models
        ],
        "requantized": None if done.requantized is None else asdict(done.requantized),
        "notes": list(done.notes),
    }
