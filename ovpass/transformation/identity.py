"""Fingerprints that identify a model, also after ovpass changes it, without reading all weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ovpass.ir.files import IrFile, open_source
from ovpass.ir.metadata import Metadata
from ovpass.ir.note import read_note
from ovpass.ir.original_weights import read_original_weights
from ovpass.ir.weight_samples import sample_weights
from ovpass.planning.plan import describe_weights
from ovpass.planning.recorded_plan import recorded_plan
from ovpass.sites.files import find_sites_in_file

_LENGTH = 16


@dataclass(frozen=True)
class Identity:
    """`sites` is a hash of the names and shapes of all sites, `weights` one of samples of the weights.

    A model that ovpass has changed has those of the model that it was made from. `sites` is None where there is none,
    `weights` where they were re-quantized.
    """

    sites: str | None
    weights: str | None
    changed: bool

    def same_model(self, other: Identity) -> bool:
        """Whether both are of one model, changed by ovpass or not, as far as can be told."""
        if self.sites is None or other.sites is None:
            return True
        return self.sites == other.sites and (None in (self.weights, other.weights) or self.weights == other.weights)


def identify(path: Path) -> Identity:
    """The identity of an .xml or of a model folder.

    Raises:
        ModelError: if it is none, or cannot be read.
    """
    sites: list[str] = []
    weights: list[str | None] = []
    changed = False
    for ir in open_source(path).models:
        document = ir.document()
        plan = recorded_plan(document.metadata)
        if plan is not None:  # the sites as they were before: a plan has a decision on each
            found = [f"{decision.name} {decision.weights}" for decision in plan.decisions]
        else:
            found = [f"{site.name} {describe_weights(site)}" for site in find_sites_in_file(ir, document)]
        if found:
            sites += found
            weights.append(_weights(ir, document.metadata))
            changed = changed or read_note(document.metadata) is not None
    if not sites:
        return Identity(None, None, changed=changed)
    sampled = None if None in weights else _digest(str(part) for part in weights)
    return Identity(_digest(sorted(sites)), sampled, changed=changed)


def _weights(ir: IrFile, metadata: Metadata) -> str | None:
    """Samples of the .bin as it was: new constants are at its end. None where it was written anew."""
    original = read_original_weights(metadata)
    if original is None and read_note(metadata) is not None:
        return None
    size = original.size if original is not None else ir.bin.stat().st_size
    return sample_weights(ir.bin, size)[:_LENGTH]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(list(parts)).encode()).hexdigest()[:_LENGTH]
