"""How a report was made, so that whoever has nothing else can make it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ovpass.report.runs import Run
from ovpass.report.words import command_line

_EXTRAS = {"evaluate": "eval", "sensitivity": "eval", "tune": "eval", "bench": "genai"}


def facts(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Models, versions, machines and dates of the runs, each once."""
    headers = [run.header for run in runs]
    machines = [
        f"{h.machine.cpu}, {h.machine.cpus} CPUs, {h.machine.system}, Python {h.machine.python}" for h in headers
    ]
    devices = [
        (found.device + (f" (simulated {found.simulated})" if found.simulated else ""))
        for run in runs
        for found in (run.verified or run.found,)
        if hasattr(found, "simulated")
    ]
    timed = [f"{run.found.device}: {run.found.device_name}" for run in runs if hasattr(run.found, "device_name")]
    models = [
        f"{model.path} (sites {model.sites or 'none'}, weights {model.weights or 'not told'}"
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


def commands(runs: Sequence[Run], against: Sequence[Run] = ()) -> str:
    """What to type: the packages, each run, and the report of them."""
    everything = [*runs, *against]
    names = _file_names(everything)
    used = {run.header.command for run in everything}
    extras = ",".join(sorted({"report", *(extra for command, extra in _EXTRAS.items() if command in used)}))
    packages = dict.fromkeys(f"'ovpass[{extras}]=={r.header.ovpass}' openvino=={r.header.openvino}" for r in everything)
    lines = [f"pip install {package}" for package in packages]
    for run, name in zip(everything, names, strict=True):
        arguments = run.header.arguments if "--json" in run.header.arguments else (*run.header.arguments, "--json")
        lines.append(f"{command_line(['ovpass', run.header.command, *arguments])} > {name}")
    own, other = names[: len(runs)], names[len(runs) :]
    flags = [word for name in other for word in ("--against", name)]
    lines.append(command_line(["ovpass", "report", *own, *flags, "-o", "report.html"]))
    return "\n".join(lines)


def _file_names(runs: Sequence[Run]) -> list[str]:
    total = Counter(run.header.command for run in runs)
    seen: Counter[str] = Counter()
    names = []
    for run in runs:
        command = run.header.command
        seen[command] += 1
        names.append(f"{command}-{seen[command]}.json" if total[command] > 1 else f"{command}.json")
    return names


def files(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Settings and plans that the commands read, by the name that they were given."""
    return list({name: text for run in runs for name, text in run.header.files.items()}.items())


def settings_yaml(chosen: Mapping[str, Any], patterns: Sequence[str]) -> str:
    """The chosen settings, but with the patterns for what is left out."""
    import yaml  # noqa: PLC0415 - not needed to print help

    settings = dict(chosen)
    rules = [{"match": pattern, "exempt": True} for pattern in patterns]
    kept = [rule for rule in settings.pop("rules", []) if not rule.get("exempt")]
    text: str = yaml.safe_dump({**settings, "rules": [*rules, *kept]}, sort_keys=False, width=1000, allow_unicode=True)
    return text
