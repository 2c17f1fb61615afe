"""The `run` object of a command's JSON: arguments, versions, machine and models."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from ovpass.cli.run_inputs import inputs, texts
from ovpass.errors import OvpassError
from ovpass.support.cpu_features import cpu_name
from ovpass.version import JSON_FORMAT, __version__

_ARGUMENTS = "ovpass.arguments"
_MODELS = ("model", "models", "reference", "candidates")


def remember_arguments(context: click.Context, arguments: Sequence[str]) -> None:
    """Keep what was typed after `ovpass`, for `run_header`."""
    context.meta[_ARGUMENTS] = list(arguments)


def run_header() -> dict[str, Any]:
    """How the running command was called, and what it ran on.

    `files` holds the text of settings and plans that were named: whoever has the JSON has those too. `inputs` are other
    files that were, with their sizes and hashes.
    """
    from importlib.metadata import version  # noqa: PLC0415 - not needed to print help

    context = click.get_current_context()
    command, *arguments = context.meta.get(_ARGUMENTS, [context.info_name or ""])
    candidates = list(_candidates(context.params))
    return {
        "format": JSON_FORMAT,
        "command": command,
        "arguments": arguments,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "ovpass": __version__,
        "openvino": version("openvino"),
        "machine": _machine(),
        "models": [_model(path) for path in dict.fromkeys(path for path, _ in candidates)],
        "files": dict(texts(context.params, [plan for _, plan in candidates if plan is not None])),
        "inputs": list(inputs(context.params)),
    }


def _machine() -> dict[str, Any]:
    import platform  # noqa: PLC0415 - not needed to print help

    return {
        "cpu": cpu_name() or platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _candidates(params: Mapping[str, Any]) -> Iterator[tuple[Path, Path | None]]:
    """The models that were named, without what follows their @, and plans that follow it."""
    from ovpass.evaluation.candidates import parse_candidate  # noqa: PLC0415

    named = [params[name] for name in _MODELS if params.get(name) is not None]
    for text in [text for value in named for text in (value if isinstance(value, tuple) else (value,))]:
        try:
            candidate = parse_candidate(str(text))
        except OvpassError:
            continue  # the command itself has taken it, and says what it is in its own part
        yield candidate.path, candidate.plan


def _model(path: Path) -> dict[str, Any]:
    from ovpass.transformation.identity import identify  # noqa: PLC0415

    try:
        return {"path": str(path), **asdict(identify(path))}
    except (OvpassError, OSError):
        return {"path": str(path), "sites": None, "weights": None, "changed": False}
