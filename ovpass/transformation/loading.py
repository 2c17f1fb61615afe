"""Load the models of a source that have sites, and their plans."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovpass.errors import ModelError, PlanError, SettingsError
from ovpass.ir.document import IrDocument
from ovpass.ir.files import IrFile, ModelSource, open_source
from ovpass.ir.graph import Graph
from ovpass.lowerings.planner import check_plan, plan_sites
from ovpass.planning.plan import Plan
from ovpass.planning.recorded_plan import refuse_processed, runs_kernels
from ovpass.planning.resolve import check_rules
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.sites.files import find_sites_in_file
from ovpass.support.formatting import counted
from ovpass.support.garbage import collection_paused
from ovpass.support.printable import shell_word

_LOGGER = logging.getLogger(__name__)

_CONVOLUTIONS = ("Convolution", "GroupConvolution", "ConvolutionBackpropData")


@dataclass(frozen=True)
class Loaded:
    """A model with sites; `key` is "" where it is the only one of its source."""

    key: str
    ir: IrFile
    document: IrDocument
    sites: Sequence[CompressedMatMul]


def no_sites(model: Path, graphs: Sequence[Graph]) -> ModelError:
    """The error for a model without compressed MatMuls: what is there instead, and what to do."""
    products = sum(kind == "MatMul" for graph in graphs for kind in graph.types)
    if products:
        return ModelError(
            f"{model}: has no MatMul with compressed weights; "
            f"compress them first: ovpass compress {shell_word(model)} -o OUT"
        )
    convolutions = sum(kind in _CONVOLUTIONS for graph in graphs for kind in graph.types)
    instead = f", only {counted(convolutions, 'convolution')}, which plugins do not quantize dynamically"
    return ModelError(f"{model}: has no MatMul{instead if convolutions else ''}; name another model")


def load(source: ModelSource) -> list[Loaded]:
    """Read the models of a source that have sites.

    Raises:
        ModelError: if one cannot be read, or none has a site.
    """
    documents = [(ir, ir.document()) for ir in source.models]
    found = [(ir, document, find_sites_in_file(ir, document)) for ir, document in documents]
    for ir, _, sites in found:
        _LOGGER.info("%s: %s", ir.xml, counted(len(sites), "site"))
    with_sites = [entry for entry in found if entry[2]]
    if not with_sites:
        if any(runs_kernels(document) for _, document in documents):
            raise ModelError(
                f"{source.root}: all its compressed MatMuls are ops of the kernel lowering; "
                "undo that first with 'ovpass strip', or start from the original"
            )
        raise no_sites(source.root, [document.graph for _, document in documents])
    sole = len(with_sites) == 1
    return [Loaded("" if sole else ir.key, ir, document, sites) for ir, document, sites in with_sites]


def load_sole(source: Path | str, record: str) -> Loaded:
    """Read the one model of a source, with which a `record` of one model is compared.

    Raises:
        OvpassError: as `load`.
        SettingsError: if the source has several models with sites.
    """
    models = load(open_source(source))
    if len(models) > 1:
        raise SettingsError(
            f"{source}: has {len(models)} models; name the .xml that the {record} is of, such as {models[0].ir.xml}"
        )
    return models[0]


@collection_paused()
def plan_loaded(models: Sequence[Loaded], settings: Settings) -> dict[str, Plan]:
    """Plan each model; every rule must pick a site in at least one of them.

    Raises:
        OvpassError: as `make_plan`.
    """
    for loaded in models:
        refuse_processed(loaded.document.metadata, str(loaded.ir.xml))
    check_rules([site for loaded in models for site in loaded.sites], settings)
    return {loaded.key: plan_sites(loaded.sites, settings, loaded.document.metadata) for loaded in models}


def check_plans(plans: Mapping[str, Plan], models: Sequence[Loaded]) -> None:
    """Make sure that there is a plan for each model, made for it.

    Raises:
        PlanError: if one is missing, is too much, or is for another model.
        ModelError: if ovpass has changed a model already.
    """
    check_keys(plans, {loaded.key for loaded in models})
    for loaded in models:
        refuse_processed(loaded.document.metadata, str(loaded.ir.xml))
        check_plan(plans[loaded.key], loaded.sites)


def check_keys(plans: Mapping[str, Plan], keys: Collection[str]) -> None:
    """Make sure that there is a plan for each model and no other.

    Raises:
        PlanError: if there is not.
    """
    if set(keys) != set(plans):
        raise PlanError(f"the plan is for the models {sorted(plans)}, these are {sorted(keys)}")
