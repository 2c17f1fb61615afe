"""What a search for a KV cache has found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ovpass.tuning.budget import Spent
from ovpass.tuning.kv_candidates import CacheKind
from ovpass.tuning.kv_layers import FEW, CacheLoss, fewest_for_half


@dataclass(frozen=True)
class CachePoint:
    """A way to store keys and values that was measured alone, and what it spends."""

    kind: CacheKind
    spent: Spent


@dataclass(frozen=True)
class TunedCache:
    """The smallest cache within its share of the budget, all that were measured, and the losses of layers.

    `losses` are those of `looked_at`, the smallest cache that is beyond the budget; none if every one is within it.
    `chunk` is the number of tokens that the model was fed at a time, `bytes_in_f16` what a token takes in f16.
    """

    chosen: CachePoint
    points: tuple[CachePoint, ...]
    chunk: int
    bytes_in_f16: float
    looked_at: CacheKind | None = None
    losses: tuple[CacheLoss, ...] = ()

    @property
    def half(self) -> Sequence[CacheLoss]:
        """The fewest caches that cause half of the sum of losses."""
        return fewest_for_half(self.losses)

    @property
    def few(self) -> bool:
        """Whether few caches cause half of the loss."""
        return bool(self.losses) and len(self.half) <= FEW * len(self.losses)
