"""Inspect a model: its sites, and what a target does with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ovpass.ir.files import ModelSource
from ovpass.planning.native import in_force, verdict_in
from ovpass.planning.options import read_options
from ovpass.settings.selection import select
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.sites.source_attributes import describe_source_attributes, read_source_attributes
from ovpass.targets import Verdict
from ovpass.targets.names import get_target
from ovpass.transformation.loading import load


@dataclass(frozen=True)
class Inspected:
    """The sites of one model with a target's verdicts, under the group size in force.

    `asked` says by name what the file that the model was converted from asked of a site, where that is known.
    """

    key: str
    ops: int
    group_size: int
    entries: Sequence[tuple[CompressedMatMul, Verdict]]
    asked: Mapping[str, str]


def inspect_source(
    source: ModelSource, target_name: str, group_size: int | None = None, pattern: str | None = None
) -> list[Inspected]:
    """Judge every site, or those that `pattern` picks.

    The group size in force is the one given, else the IR's own, else the target's default.

    Raises:
        ModelError: for a source without compressed weights.
        SettingsError: for an unknown target or a pattern that picks nothing.
    """
    target = get_target(target_name)
    models = load(source)
    sites = [site for loaded in models for site in loaded.sites]
    # Two models of a folder can have sites of one name: what was picked is told by identity.
    picked = {id(site) for site in (sites if pattern is None else select(sites, pattern))}
    found = []
    for loaded in models:
        options = read_options(loaded.document.metadata)
        size = in_force(Settings(group_size=group_size), options, target)
        entries = [(s, verdict_in(target, s, size, options)) for s in loaded.sites if id(s) in picked]
        recorded = read_source_attributes(loaded.document.metadata)
        asked = {
            site.name: words for site, _ in entries if (words := describe_source_attributes(site, recorded)) is not None
        }
        found.append(Inspected(loaded.key, loaded.document.ops, size, entries, asked))
    return found
