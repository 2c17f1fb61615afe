"""The settings of the runs, and the properties and variables that the model needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ovpass.planning.defaults import cache_of, threshold_of
from ovpass.reporting.formatting import command_line, group_words, model_name
from ovpass.reporting.measurements import BenchRun, SensitivityRun, Subject
from ovpass.reporting.side import Side
from ovpass.settings.settings import Rule, Settings, settings_to_dict
from ovpass.support.formatting import counted, number
from ovpass.targets.group_sizes import format_group_size
from ovpass.targets.runtime_options import CACHE_OPTIONS

Facts = dict[str, str]


@dataclass(frozen=True)
class Conditions:
    """`facts` are settings by name; `environment` is for a shell, `properties` are for compile_model, as JSON."""

    facts: Facts
    environment: str
    properties: str
    notes: tuple[str, ...]


def conditions(side: Side) -> Conditions:
    """What a side tells of its settings."""
    planned = side.planned
    properties = planned.run_properties if planned else {}
    return Conditions(
        facts=settings_facts(side),
        environment="\n".join(f"export {command_line([pair])}" for pair in pairs(environment_of(side))),
        properties=json.dumps(properties, ensure_ascii=False) if properties else "",
        notes=tuple(dict.fromkeys(planned.notes)) if planned else (),
    )


def environment_of(side: Side) -> Mapping[str, str]:
    """The variables without which the plugin does something else than planned."""
    return side.planned.run_environment if side.planned else {}


def pairs(values: Mapping[str, str]) -> list[str]:
    """Names and values as they are typed."""
    return [f"{name}={value}" for name, value in values.items()]


def settings_facts(side: Side) -> Facts:
    """By what they are called: settings of the plan, else those that sites were judged by, and of measurements."""
    facts: Facts = {}
    if side.settings is not None:
        facts = dict(_of_plan(side.settings))
    elif side.inspected is not None:
        facts = {"Target": side.inspected.target, "Group size": group_words(side.inspected.group_size)}
    if side.tuned is not None and side.planned is side.tuned.plan:
        budget = side.tuned.plan.evidence.budget
        facts["Budget"] = ", ".join(f"{name} {number(value)}" for name, value in budget.items())
    if side.verified is not None:
        asked = side.verified
        facts["Asked"] = f"{asked.device} plugin{f', simulated {asked.simulated}' if asked.simulated else ''}"
    facts["Evaluated"] = "; ".join(
        f"{model_name(c.model)}: {c.runs}" for run in side.evaluations for c in run.candidates
    )
    facts["Timed"] = "; ".join(_timed(bench, subject) for bench in side.benchmarks for subject in bench.subjects)
    if side.measured is not None:
        sizes = dict.fromkeys(str(unit.group_size) for unit in side.measured.ranking if unit.group_size is not None)
        given = [model_name(word) for word in side.arguments_of(SensitivityRun)[1:] if word != "--json"]
        facts["Sensitivity"] = f"by {side.measured.by}" + (f", at group size {', '.join(sizes)}" if sizes else "")
        facts["Sensitivity of"] = command_line(given) or "what the command takes by default"
    return {name: text for name, text in facts.items() if text}


def _of_plan(settings: Settings) -> Iterator[tuple[str, str]]:
    yield "Target", settings.target
    yield "Lowering", settings.lowering
    yield "Group size", _group_size(settings)
    yield "Quantized above", _threshold(settings)
    own = "" if set(CACHE_OPTIONS) & settings.runtime_options.keys() else ", the target's own"
    yield "KV cache", f"{cache_of(settings)}{own}"
    yield "Activations", "i8, symmetric" if settings.symmetric else "u8 with a zero point, asymmetric"
    if settings.axis != -1:
        yield "Axis", str(settings.axis)
    if settings.exempt_with != "auto":
        yield "Exempt with", settings.exempt_with
    if settings.requantize:
        yield "Weights", "re-quantized to 8 bits per channel where int8 needs it"
    if settings.only_if_faster:
        yield "Only if faster", f"at {counted(settings.at_tokens, 'token')}"
    yield "Rules", "; ".join(_rules(settings.rules)) or "none"
    if settings.runtime_options:
        yield "Runtime options", ", ".join(pairs(settings.runtime_options))


def _group_size(settings: Settings) -> str:
    if settings.group_size is None:
        return "not set: the model's own, else the target's default"
    return group_words(str(format_group_size(settings.group_size)))


def _threshold(settings: Settings) -> str:
    if settings.lowering == "int8":
        return "any number of tokens"
    own = settings.threshold is None
    threshold = threshold_of(settings)
    text = counted(threshold, "token") if threshold else "any number of tokens"
    return f"{text}, the target's own" if own else text


def _rules(rules: tuple[Rule, ...]) -> Iterator[str]:
    """Those that leave sites out are only counted: they have a section of their own."""
    exempt = sum(rule.exempt for rule in rules)
    if exempt:
        yield f"{counted(exempt, 'rule leaves', 'rules leave')} sites out"
    for rule in rules:
        if not rule.exempt:
            changed = {name: value for name, value in settings_to_dict(rule).items() if name != "match"}
            yield f"{rule.match}: {', '.join(f'{name} {value}' for name, value in changed.items())}"


def _timed(bench: BenchRun, subject: Subject) -> str:
    """The model, and what is set of it that its name does not say."""
    set_apart = [pair for pair in pairs({**subject.environment, **subject.properties}) if pair not in subject.model]
    return f"{model_name(subject.model)} on {bench.device}" + (f" with {', '.join(set_apart)}" if set_apart else "")
