"""Shorten a plugin's compile error, and name the known cause."""

from __future__ import annotations

import re

_SHOWN = 300
_NOISE = re.compile(r"Exception from |\s*$|Check '[^']*' failed at \S+$")
_PLACES = re.compile(r"\[\w+\] END: .*? CALLBACK HAS THROWN: |Check '[^']*' failed at \S+?:\d+:?|\(opset\d+::.*")
_CAUSES = (
    (r"rank\(\)\.is_static", "an activation has a dynamic rank; set the rank of the model's inputs with reshape"),
    (r"suitable kernel for dynamicquantize", "the plugin has no kernel for groups larger than K; use per-token"),
    (
        r"FullyConnectedHorizontalFusion.*Concat",
        "the plugin fuses three MatMuls of one activation, but their zero points or scales differ; "
        "exempt or resize all three alike",
    ),
    (
        r"DYNAMIC_QUANTIZATION_GROUP_SIZE|[Uu]nsupported property|Option not found",
        "the plugin does not know the property, or does not accept its value",
    ),
)


def _failed_check(error: str) -> str:
    """What is left where the plugin has no words for it."""
    checks = re.findall(r"Check '[^']*' failed", error)
    return str(checks[-1]) if checks else " ".join(error.split())


def refusal(error: str, device: str = "GPU") -> str:
    """The plugin's own words, without the places in its sources, and a likely cause."""
    lines = [_PLACES.sub("", line).strip() for line in error.splitlines() if not _NOISE.match(line)]
    words = "; ".join(line.rstrip(":;") for line in lines if line) or _failed_check(error)
    causes = [] if device != "GPU" else [cause for sign, cause in _CAUSES if re.search(sign, error, re.DOTALL)]
    likely = f" (likely cause: {causes[0]})" if causes else ""
    return f"{words[:_SHOWN]}{likely}"
