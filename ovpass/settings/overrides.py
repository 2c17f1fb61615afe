"""Settings from a base and what is named one by one, on the command line or as keywords."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ovpass.settings.settings import Rule, Settings, as_rules
from ovpass.targets.runtime_options import check_runtime_options


def override(base: Settings, changes: Mapping[str, Any], exempt: Iterable[str] = ()) -> Settings:
    """`base` with changed fields.

    The patterns of `exempt` and the rules of `changes` come before the rules of `base`. Runtime options are added to
    those of `base`.

    Raises:
        SettingsError: naming the setting that is not possible.
    """
    rules = (*(Rule(match=pattern, exempt=True) for pattern in exempt), *as_rules(changes.get("rules", ())))
    options = {**base.runtime_options, **check_runtime_options(changes.get("runtime_options", {}))}
    return replace(base, **{**changes, "rules": (*rules, *base.rules), "runtime_options": options})
