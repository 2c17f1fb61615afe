"""How the layers of a model are stored that are in vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ovpass.tuning.budget import Spent


@dataclass(frozen=True)
class Layout:
    """`bits` a weight on average, with codebooks and scales, and how many `layers` each mode has.

    `spent` is what the whole model costs on held-out text, where a budget limits that: KL in nats per token.
    """

    bits: float
    layers: Mapping[str, int]
    spent: Spent | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        spent = None if self.spent is None else self.spent.to_dict()
        return {"bits": self.bits, "layers": dict(self.layers), "held_out": spent}
