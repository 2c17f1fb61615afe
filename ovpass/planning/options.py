"""Add the runtime options of the settings to a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ovpass.errors import SettingsError
from ovpass.ir.metadata import Metadata
from ovpass.ir.runtime_options import LARGEST_GROUP_SIZE, read_group_size
from ovpass.planning.native import ModelOptions
from ovpass.planning.plan import Plan
from ovpass.settings.settings import Settings
from ovpass.targets import TARGETS, Target
from ovpass.targets.names import get_target
from ovpass.targets.runtime_options import IGNORED, OBEYED


def read_options(metadata: Metadata) -> ModelOptions:
    """The runtime options in the IR that bear on dynamic quantization."""
    return ModelOptions(read_group_size(metadata), read_group_size(metadata, LARGEST_GROUP_SIZE))


def overlaid(options: ModelOptions, settings: Settings) -> ModelOptions:
    """The IR's options as they will be, with those of the settings."""
    largest = settings.runtime_options.get(LARGEST_GROUP_SIZE)
    return options if largest is None else replace(options, largest_group_size=int(largest))


def with_runtime_options(plan: Plan, keeps_cache: bool) -> Plan:
    """The plan, with what has to be known to run it: options that its target ignores in this IR become properties.

    Raises:
        SettingsError: for a value with which the target's plugin would not compile.
    """
    target, given = get_target(plan.settings.target), plan.settings.runtime_options
    properties = {}
    for name, value in given.items():
        obedience = target.options.get(name)
        if obedience is None:
            continue
        if obedience.values and value not in obedience.values:
            raise SettingsError(f"{name}: {target.name} takes one of {', '.join(obedience.values)}, not {value!r}")
        if obedience.as_property and not obedience.hears_ir(keeps_cache=keeps_cache):
            properties[name] = value
    notes = [note for name, value in given.items() for note in _notes(name, value, target, keeps_cache)]
    return replace(plan, run_properties={**plan.run_properties, **properties}, notes=(*plan.notes, *notes))


def _notes(name: str, value: str, target: Target, keeps_cache: bool) -> Iterator[str]:
    """Who does not heed the option, and who would not even compile."""
    known = {other.name: other.options[name] for other in TARGETS.values() if name in other.options}
    own = target.options.get(name)
    if own is None:
        yield f"{target.name} has no option {name}; it is for {' and '.join(known)}"
    elif not own.hears_ir(keeps_cache=keeps_cache):
        where = "the IR" if own.ir == IGNORED else "the IR of a model that keeps a KV cache"
        yield f"{target.name} ignores {name} in {where}"
    for other, obedience in known.items():
        if obedience is not own and obedience.ir == OBEYED and obedience.values and value not in obedience.values:
            yield f"{other} does not compile a model with {name}={value}"
