"""Which layers' keys and values cost how much: one cache at a time is emulated, in one compiled model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ovpass.evaluation.comparison import compare_logits
from ovpass.evaluation.preparation import CLEAN, Prepared, without_own_quantization
from ovpass.evaluation.runner import Runner
from ovpass.passes.emulate_kv_cache import SWITCHES, EmulateKvCache
from ovpass.passes.kv_caches import KvCache, find_kv_caches
from ovpass.support.store import Store
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.kv_candidates import CacheKind

FEW = 0.1
"""Of all caches: so many or less that cause half of the loss are few."""


@dataclass(frozen=True)
class CacheLoss:
    """Mean KL divergence, in nats per token, with the keys or the values of one layer alone stored in fewer bits.

    `what` is "key" or "value"; layers count the attentions of the model, from 0.
    """

    what: str
    layer: int
    kl: float

    def __str__(self) -> str:
        return f"{self.what}s of layer {self.layer}"


def losses_by_layer(experiment: Experiment, kind: CacheKind, chunk: int) -> list[CacheLoss]:
    """Every cache alone, on one window of the search, in chunks; the largest loss first.

    Raises:
        OvpassError: if the model cannot be run.
    """
    model = without_own_quantization(experiment.ir.read())
    caches = find_kv_caches(model)
    store = experiment.store("kv layers", {})
    names = {
        f"{kind}, {number} in chunks of {chunk}": number
        for number, cache in enumerate(caches)
        if f"kv_{cache.what}" in kind.emulated
    }
    missing = {name: number for name, number in names.items() if store.get(name, float) is None}
    if missing:
        EmulateKvCache(kind.emulated.get("kv_key"), kind.emulated.get("kv_value"), switched=True).run(model)
        prepared = Prepared(model, CLEAN, None, "", experiment.ir.xml.parent, chunk)
        runner = Runner(prepared, str(experiment.ir.xml))
        window = experiment.windows[0]
        exact = runner.logits(window, _switched(caches, None)).copy()
        for name, number in missing.items():
            cache = caches[number]
            experiment.progress(f"{kind}: {cache.what}s of layer {cache.layer} alone")
            scores = compare_logits(exact, runner.logits(window, _switched(caches, number)), window)
            store.put(name, float(scores.kl.mean()))
    return _ranked(store, names, caches)


def fewest_for_half(losses: Sequence[CacheLoss]) -> list[CacheLoss]:
    """The caches with the largest losses that together have half of the sum, or more."""
    total, found = sum(loss.kl for loss in losses), 0.0
    for count, loss in enumerate(losses, 1):
        found += loss.kl
        if found >= total / 2:
            return list(losses[:count])
    return []


def _ranked(store: Store, names: dict[str, int], caches: Sequence[KvCache]) -> list[CacheLoss]:
    measured = [(caches[number], store.get(name, float)) for name, number in names.items()]
    losses = [CacheLoss(cache.what, cache.layer, kl or 0.0) for cache, kl in measured]
    return sorted(losses, key=lambda loss: loss.kl, reverse=True)


def _switched(caches: Sequence[KvCache], number: int | None) -> dict[str, np.ndarray]:
    """The value of the input: one cache alone, or none."""
    return {SWITCHES: np.arange(len(caches)) == (-1 if number is None else number)}
