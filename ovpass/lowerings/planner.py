"""Plan a model with the lowering of its settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ovpass.ir.metadata import Metadata, ModelMetadata
from ovpass.lowerings.base import Evidence, evidence_of, get_lowering
from ovpass.planning.canonicalization import as_canonical, with_requests
from ovpass.planning.crashes import refuse_crashes
from ovpass.planning.faster import costs_for, keep_faster
from ovpass.planning.options import read_options, with_runtime_options
from ovpass.planning.plan import Plan
from ovpass.planning.recorded_plan import refuse_processed
from ovpass.planning.resolve import check_rules
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.sites.source_attributes import read_source_attributes
from ovpass.targets.effective_options import keeps_cache
from ovpass.targets.names import get_target

if TYPE_CHECKING:
    import openvino as ov


def make_plan(model: ov.Model, settings: Settings | None = None) -> Plan:
    """Make the decision for every site of `model`. The model does not change.

    Raises:
        SettingsError: for a rule that selects no site, and for a setting that the lowering or target does not support.
        ModelError: if the model already carries an ovpass plan.
    """
    settings = settings or Settings()
    metadata = ModelMetadata(model)
    refuse_processed(metadata, model.get_friendly_name())
    sites = find_compressed_matmuls(model)
    check_rules(sites, settings)
    return plan_sites(sites, settings, metadata)


def plan_sites(
    sites: Sequence[CompressedMatMul], settings: Settings, metadata: Metadata, *, as_is: bool = False
) -> Plan:
    """`make_plan` for sites that are already found and rules that are already checked.

    With `as_is` the plan tells what happens to the model as it is, in which nothing is canonicalized.
    """
    if as_is:
        return _planned(sites, settings, metadata)
    return with_requests(_planned(as_canonical(sites), settings, metadata), sites, read_source_attributes(metadata))


def _planned(sites: Sequence[CompressedMatMul], settings: Settings, metadata: Metadata) -> Plan:
    if not settings.only_if_faster:
        return _lowered(sites, settings, metadata)
    costs = costs_for(settings, get_lowering(settings.lowering).not_timed)
    own = read_options(metadata).group_size
    own = get_target(settings.target).default_group_size if own is None else own
    return keep_faster(sites, _lowered(sites, settings, metadata), costs, own)


def _lowered(sites: Sequence[CompressedMatMul], settings: Settings, metadata: Metadata) -> Plan:
    plan = get_lowering(settings.lowering).plan(sites, settings, read_options(metadata))
    return with_runtime_options(plan, keeps_cache(sites))


def refuse_crashes_of(plan: Plan, sites: Sequence[CompressedMatMul]) -> None:
    """Make sure that the plugin survives what a plan asks of it.

    Raises:
        SettingsError: if a site ends its process.
    """
    if evidence_of(plan) is Evidence.PLUGIN:
        refuse_crashes(sites, plan.decisions, get_target(plan.settings.target))


def check_plan(plan: Plan, sites: Sequence[CompressedMatMul]) -> None:
    """Make sure that a plan, perhaps edited or of another model, can be carried out on these sites.

    Raises:
        PlanError: naming what does not fit.
    """
    plan.check_fits(sites)
    get_lowering(plan.settings.lowering).check(plan, sites)
