"""The plan: one decision with its reason for every site. Plain data that is readable and editable."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovpass.errors import PlanError, SettingsError
from ovpass.planning.run_settings import checked_environment, checked_properties
from ovpass.settings.settings import EXEMPTIONS, Settings, settings_from_dict, settings_to_dict
from ovpass.sites import KINDS, CompressedMatMul
from ovpass.support.formatting import counted
from ovpass.support.garbage import collection_paused
from ovpass.support.shown import Shown
from ovpass.support.structured_text import MalformedError, parse_yaml, read_text
from ovpass.targets.group_sizes import OFF, format_group_size, parse_group_size, parse_model_group_size

_LOGGER = logging.getLogger(__name__)

QUANTIZE, EXEMPT, SKIP = "quantize", "exempt", "skip"
REPLACE = "replace"
"""The MatMul becomes an op of our own (lowering kernel); its activation is not quantized."""
ACTIONS = (QUANTIZE, EXEMPT, SKIP, REPLACE)

_SHOWN_DIFFERENCES = 5
_METHODS = {QUANTIZE: ("cap", "requantize"), EXEMPT: EXEMPTIONS[1:], SKIP: (), REPLACE: ()}


@dataclass(frozen=True)
class Decision:
    """The decision for one site, and its reason.

    `group_size` is the effective group size. `method` is the change to the site, if any: a kind of exemption, "cap" or
    "requantize". `restate`: the site is first rewritten to OpenVINO's own compressed form. `weights` identifies the
    site's weights, so that a plan is not applied to another model. `expected_ratio` is the expected time as a share of
    the default's, None without `only_if_faster` or without a calibration.
    """

    name: str
    action: str
    reason: str
    kind: str
    layer: int | None
    weights: str
    group_size: int | None = None
    method: str | None = None
    threshold: int | None = None
    axis: int | None = None
    symmetric: bool | None = None
    expected_ratio: float | None = None
    restate: bool | None = None


@dataclass(frozen=True)
class Plan(Shown):
    """The decisions for all sites of one model, and the settings of the whole model.

    `model_group_size` is the group size in the IR for the plugin (0 disables the plugin's own quantization).
    `run_environment` are environment variables and `run_properties` are compile properties that the model needs.
    `evidence` holds the measurements behind the plan.
    """

    settings: Settings
    decisions: tuple[Decision, ...]
    model_group_size: int
    run_environment: dict[str, str] = field(default_factory=dict)
    run_properties: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)

    def chosen(self, action: str) -> list[Decision]:
        """Return the decisions with an action: "quantize", "exempt", "skip" or "replace"."""
        return [decision for decision in self.decisions if decision.action == action]

    def counts(self) -> dict[str, int]:
        """Count the sites that are quantized, exempt and skipped, and those that are replaced if there are any."""
        found = Counter(decision.action for decision in self.decisions)
        return {action: found[action] for action in ACTIONS if found[action] or action != REPLACE}

    def check_fits(self, sites: Sequence[CompressedMatMul]) -> None:
        """Check that the plan is for a model with exactly these sites.

        Raises:
            PlanError: if sites differ. It names the first differences.
        """
        planned = {decision.name: decision.weights for decision in self.decisions}
        present = {site.name: describe_weights(site) for site in sites}
        differences = [
            *(f"{name} is not in the model" for name in planned.keys() - present.keys()),
            *(f"{name} is not in the plan" for name in present.keys() - planned.keys()),
            *(
                f"{name} has {present[name]} weights, planned {weights}"
                for name, weights in planned.items()
                if present.get(name, weights) != weights
            ),
        ]
        if differences:
            shown = "; ".join(sorted(differences)[:_SHOWN_DIFFERENCES])
            raise PlanError(
                f"the plan is for another model: {counted(len(differences), 'site differs', 'sites differ')}: {shown}; "
                "make a new plan with 'ovpass plan'"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for YAML and JSON. `plan_from_dict` reads it back to an equal plan."""
        return {
            "settings": settings_to_dict(self.settings),
            "model_group_size": format_group_size(self.model_group_size) if self.model_group_size else OFF,
            "run_environment": dict(self.run_environment),
            "run_properties": dict(self.run_properties),
            "notes": list(self.notes),
            **({"evidence": self.evidence} if self.evidence else {}),
            "decisions": [decision_to_dict(decision) for decision in self.decisions],
        }

    def save(self, path: Path | str) -> None:
        """Write the plan as YAML.

        Raises:
            OutputError: if the file cannot be written.
        """
        save_plans({"": self}, path)

    @staticmethod
    def load(path: Path | str) -> Plan:
        """Read the plan of one model.

        Raises:
            PlanError: if the file is not a plan, or holds plans of several models.
        """
        plans = load_plans(path)
        if list(plans) != [""]:
            raise PlanError(f"{path}: holds the plans of several models: {', '.join(plans)}")
        return plans[""]


def describe_weights(site: CompressedMatMul) -> str:
    """A site's weights in words: `u4 asymmetric g32 576x1536` (N x K)."""
    symmetry = "symmetric" if site.symmetric else "asymmetric"
    group = f"g{site.weight_group_size}" if site.weight_group_size else "per-channel"
    return f"{site.stored_as} {symmetry} {group} {site.n}x{site.k}"


def decide(site: CompressedMatMul, action: str, reason: str, **details: Any) -> Decision:
    """A Decision on `site`; `details` are the remaining fields of Decision."""
    return Decision(
        name=site.name,
        action=action,
        reason=reason,
        kind=site.kind,
        layer=site.layer,
        weights=describe_weights(site),
        **details,
    )


def decision_to_dict(decision: Decision) -> dict[str, Any]:
    """Plain data; what is None is left out, `group_size` apart."""
    plain = {key: value for key, value in vars(decision).items() if value is not None or key in ("group_size", "layer")}
    plain["group_size"] = None if decision.group_size is None else format_group_size(decision.group_size)
    return plain


def plan_from_dict(data: object) -> Plan:
    """Build a Plan from plain data.

    Raises:
        PlanError: if keys are missing, unknown or wrong.
    """
    try:
        return _structure(data)
    except (SettingsError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlanError(f"not an ovpass plan: {error!s}") from error


def save_plans(plans: dict[str, Plan], path: Path | str) -> None:
    """Write the plans of a folder's models (by relative path) or of one model (under "").

    Raises:
        OutputError: if the file cannot be written.
    """
    import yaml  # noqa: PLC0415

    from ovpass.support.atomic_output import write_text  # noqa: PLC0415

    single = list(plans) == [""]
    body = plans[""].to_dict() if single else {"models": {key: plan.to_dict() for key, plan in plans.items()}}
    write_text(Path(path), yaml.safe_dump(body, sort_keys=False, width=110))


def load_plans(path: Path | str) -> dict[str, Plan]:
    """Read what `save_plans` wrote.

    Raises:
        PlanError: naming the file and what is wrong with it.
    """
    try:
        text = read_text(path)
    except MalformedError as error:
        raise PlanError(f"{path}: cannot be read as a plan: {error}") from error
    try:
        plans = plans_from_text(text)
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from error
    _LOGGER.info("%s: read %s", path, counted(len(plans), "plan"))
    return plans


@collection_paused()
def plans_from_text(text: str) -> dict[str, Plan]:
    """The plans in the text of a file that `save_plans` wrote.

    Raises:
        PlanError: saying what is wrong with it.
    """
    try:
        data = parse_yaml(text)
    except MalformedError as error:
        raise PlanError(f"cannot be read as a plan: {error}") from error
    if isinstance(data, dict) and isinstance(data.get("models"), dict):
        return {key: plan_from_dict(value) for key, value in data["models"].items()}
    return {"": plan_from_dict(data)}


def total_counts(plans: Iterable[Plan]) -> dict[str, int]:
    """The counts of several plans, added up."""
    total: Counter[str] = Counter({QUANTIZE: 0, EXEMPT: 0, SKIP: 0})
    for plan in plans:
        total.update(plan.counts())
    return dict(total)


def _structure(data: object) -> Plan:
    if not isinstance(data, dict) or "decisions" not in data:
        raise ValueError("it has no decisions")
    unknown = data.keys() - {field.name for field in dataclasses.fields(Plan)}
    if unknown:
        raise ValueError(f"unknown keys {', '.join(sorted(unknown))}")
    if not isinstance(data["decisions"], list):
        raise ValueError("its decisions are not a list")
    if "model_group_size" not in data:
        raise ValueError("it has no model_group_size")
    decisions = tuple(_decision(entry) for entry in data["decisions"])
    twice = [name for name, count in Counter(decision.name for decision in decisions).items() if count > 1]
    if twice:
        raise ValueError(f"{twice[0]} has more than one decision")
    return Plan(
        settings=settings_from_dict(data.get("settings", {})),
        decisions=decisions,
        model_group_size=parse_model_group_size(data["model_group_size"]),
        run_environment=checked_environment(data.get("run_environment", {})),
        run_properties=checked_properties(data.get("run_properties", {})),
        notes=tuple(str(note) for note in data.get("notes", ())),
        evidence=dict(data.get("evidence", {})),
    )


def _decision(entry: object) -> Decision:
    if not isinstance(entry, dict):
        raise ValueError(f"a decision is keys and values, not {entry!r}")
    where = f"decision on {entry.get('name', '?')}"
    _check_keys(where, entry)
    group = entry.get("group_size")
    decision = Decision(**{**entry, "group_size": None if group is None else parse_group_size(group)})
    _check_choice(where, "action", decision.action, ACTIONS)
    _check_choice(where, "kind", decision.kind, KINDS)
    if decision.method is not None:
        _check_choice(where, f"method of {decision.action}", decision.method, _METHODS[decision.action])
    if decision.action == QUANTIZE and decision.group_size is None:
        raise ValueError(f"{where}: it is to be quantized and has no group_size")
    if decision.threshold is not None and decision.threshold < 0:
        raise ValueError(f"{where}: threshold {decision.threshold} is negative")
    return decision


def _check_keys(where: str, entry: dict[str, Any]) -> None:
    fields = {f.name: f for f in dataclasses.fields(Decision)}
    required = {name for name, f in fields.items() if f.default is dataclasses.MISSING}
    for problem, keys in (("unknown", entry.keys() - fields.keys()), ("missing", required - entry.keys())):
        if keys:
            raise ValueError(f"{where}: {problem} keys {', '.join(sorted(map(str, keys)))}")
    for key in entry.keys() - {"group_size"}:
        expected = str(fields[key].type).removesuffix(" | None")
        optional = str(fields[key].type).endswith("None")
        if type(entry[key]).__name__ != expected and not (optional and entry[key] is None):
            raise ValueError(f"{where}: {key} {entry[key]!r} is no {expected}")


def _check_choice(where: str, key: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{where}: {key} {value!r} is none of {', '.join(choices) or 'any'}")
