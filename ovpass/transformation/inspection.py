"""Inspect a model: its sites, and what a target does with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ovpass.ir.files import ModelSource
from ovpass.ir.metadata import Metadata, ModelMetadata
from ovpass.planning.native import in_force, verdict_in
from ovpass.planning.options import read_options
from ovpass.settings.selection import select
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.sites.source_attributes import describe_source_attributes, read_source_attributes
from ovpass.support.shown import Shown
from ovpass.targets import Target, Verdict
from ovpass.targets.names import get_target
from ovpass.transformation.loading import load

if TYPE_CHECKING:
    import openvino as ov


@dataclass(frozen=True)
class Inspected(Shown):
    """The sites of one model with a target's verdicts, under the group size in force.

    `asked` says by name what the file that the model was converted from asked of a site, where that is known.
    """

    key: str
    ops: int
    group_size: int
    entries: Sequence[tuple[CompressedMatMul, Verdict]]
    asked: Mapping[str, str]
    target: str


def inspect_source(
    source: ModelSource, target_name: str, group_size: int | None = None, pattern: str | None = None
) -> list[Inspected]:
    """Judge every site, or those that `pattern` picks.

    The group size in force is the one given, else the IR's own, else the target's default.

    Raises:
        ModelError: for a source without compressed weights.
        SettingsError: for an unknown target or a pattern that picks nothing.
    """
    found = [_Subject(one.key, one.document.ops, one.document.metadata, one.sites) for one in load(source)]
    return _inspect(found, get_target(target_name), group_size, pattern)


def inspect_model(
    model: ov.Model, target_name: str, group_size: int | None = None, pattern: str | None = None
) -> Inspected:
    """`inspect_source` for a model in memory, which has no sites if its weights are not compressed.

    Raises:
        SettingsError: as `inspect_source`.
    """
    subject = _Subject("", len(model.get_ops()), ModelMetadata(model), find_compressed_matmuls(model))
    return _inspect([subject], get_target(target_name), group_size, pattern)[0]


class _Subject(NamedTuple):
    key: str
    ops: int
    metadata: Metadata
    sites: Sequence[CompressedMatMul]


def _inspect(
    subjects: Sequence[_Subject], target: Target, group_size: int | None, pattern: str | None
) -> list[Inspected]:
    sites = [site for subject in subjects for site in subject.sites]
    # Two models of a folder can have sites of one name: what was picked is told by identity.
    picked = {id(site) for site in (sites if pattern is None else select(sites, pattern))}
    found = []
    for key, ops, metadata, own in subjects:
        options = read_options(metadata)
        size = in_force(Settings(group_size=group_size), options, target)
        entries = [(s, verdict_in(target, s, size, options)) for s in own if id(s) in picked]
        recorded = read_source_attributes(metadata)
        asked = {
            site.name: words for site, _ in entries if (words := describe_source_attributes(site, recorded)) is not None
        }
        found.append(Inspected(key, ops, size, entries, asked, target.name))
    return found
