"""Provenance of a report: models, versions, machines and inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ovpass.reporting.formatting import model_name
from ovpass.reporting.runs import Run


def facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Models, versions, machines and dates of the runs, each once."""
    headers = [run.header for run in runs]
    machines = [
        f"{h.machine.cpu}, {h.machine.cpus} CPUs, {h.machine.system}, Python {h.machine.python}" for h in headers
    ]
    devices = [
        (seen.device + (f" (simulated {seen.simulated})" if seen.simulated else ""))
        for run in runs
        for seen in run.verified
        if not seen.error
    ]
    timed = [f"{run.found.device}: {run.found.device_name}" for run in runs if hasattr(run.found, "device_name")]
    models = [
        f"{model_name(model.path)} (sites {model.sites or 'none'}, weights {model.weights or 'unknown'}"
        f"{', changed by ovpass' if model.changed else ''})"
        for header in headers
        for model in header.models
    ]
    found = {
        "Models": _once(models),
        "Versions": _once(f"ovpass {h.ovpass}, OpenVINO {h.openvino}" for h in headers),
        "Verified on": _once(devices),
        "Timed on": _once(timed),
        "Machine": _once(machines),
        "Dates": " to ".join(dict.fromkeys((min(h.date for h in headers), max(h.date for h in headers)))),
    }
    return [(label, text) for label, text in found.items() if text]


def _once(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def settings_yaml(chosen: Mapping[str, Any], patterns: Sequence[str]) -> str:
    """The chosen settings, but with the patterns for what is left out."""
    import yaml  # noqa: PLC0415 - not needed to print help

    settings = dict(chosen)
    rules = [{"match": pattern, "exempt": True} for pattern in patterns]
    kept = [rule for rule in settings.pop("rules", []) if not rule.get("exempt")]
    text: str = yaml.safe_dump({**settings, "rules": [*rules, *kept]}, sort_keys=False, width=1000, allow_unicode=True)
    return text
