"""Planning: pure functions from sites and settings to a Plan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ovpass.errors import ModelError
from ovpass.ir.metadata import Metadata, ModelMetadata
from ovpass.ir.note import read_note
from ovpass.ir.runtime_options import LARGEST_GROUP_SIZE, read_group_size
from ovpass.planning.canonicalization import as_restated, with_requests
from ovpass.planning.emulate import plan_emulate
from ovpass.planning.faster import check_calibrated, keep_faster
from ovpass.planning.int8 import plan_int8
from ovpass.planning.native import ModelOptions, in_force, plan_native, verdict_in
from ovpass.planning.options import overlaid, with_runtime_options
from ovpass.planning.plan import Plan
from ovpass.planning.resolve import check_rules
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.sites.source_attributes import read_asked
from ovpass.targets import get_target
from ovpass.targets.costs import calibration_of_this_cpu
from ovpass.targets.effective_options import keeps_cache

if TYPE_CHECKING:
    import openvino as ov


def make_plan(model: ov.Model, settings: Settings | None = None) -> Plan:
    """Decide what happens to every site of `model`. The model is only read.

    Raises:
        SettingsError: for a rule that picks no site, and for what lowering or target cannot do.
        ModelError: where the model carries an ovpass plan already.
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

    With `as_is` the plan tells what happens to the model as it is, in which nothing will be restated.
    """
    if as_is:
        return _planned(sites, settings, metadata)
    return with_requests(_planned(as_restated(sites), settings, metadata), sites, read_asked(metadata))


def _planned(sites: Sequence[CompressedMatMul], settings: Settings, metadata: Metadata) -> Plan:
    if not settings.only_if_faster:
        return _lowered(sites, settings, metadata)
    check_calibrated(settings)
    own = read_options(metadata).group_size
    own = get_target(settings.target).default_group_size if own is None else own
    return keep_faster(sites, _lowered(sites, settings, metadata), calibration_of_this_cpu(), own)


def _lowered(sites: Sequence[CompressedMatMul], settings: Settings, metadata: Metadata) -> Plan:
    if settings.lowering == "int8":
        plan = plan_int8(sites, settings)
    elif settings.lowering == "emulate":
        plan = plan_emulate(sites, settings)
    else:
        plan = plan_native(sites, settings, overlaid(read_options(metadata), settings))
    return with_runtime_options(plan, keeps_cache(sites))


def read_options(metadata: Metadata) -> ModelOptions:
    """The runtime options in the IR that bear on dynamic quantization."""
    return ModelOptions(read_group_size(metadata), read_group_size(metadata, LARGEST_GROUP_SIZE))


def refuse_processed(metadata: Metadata, name: str) -> None:
    """Make sure that ovpass has not changed the model before.

    Raises:
        ModelError: where it has.
    """
    if read_note(metadata) is not None:
        raise ModelError(
            f"{name}: ovpass has changed this model already; "
            "undo that first with 'ovpass strip', or start from the original"
        )


__all__ = [
    "ModelOptions",
    "check_rules",
    "in_force",
    "make_plan",
    "plan_sites",
    "read_options",
    "refuse_processed",
    "verdict_in",
]
