"""Save an optimum-intel model with a plan applied, and record the plan in its config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from ovpass.errors import OutputError
from ovpass.planning.plan import save_plans
from ovpass.settings.settings import Settings, settings_to_dict
from ovpass.support.atomic_output import publish, staging
from ovpass.support.structured_text import MalformedError, parse_json, read_text
from ovpass.transformation.result import Transformed
from ovpass.transformation.transform import transform
from ovpass.version import __version__

PLAN = "ovpass_plan.yaml"
KEY = "ovpass"
_CONFIGS = ("config.json", "model_index.json")


class Exported(Protocol):
    """What optimum-intel's models can do, whatever their task."""

    def save_pretrained(self, save_directory: Path) -> Any:
        """Write an IR and its configuration."""


def save_pretrained(model: Exported, output: Path | str, settings: Settings | None = None) -> Transformed:
    """Run `model.save_pretrained(output)`, with `settings` applied to the IR.

    The plans are in `ovpass_plan.yaml`. The folder's config.json gets the key "ovpass" with the settings, the name of
    that file, and the properties and variables that the model needs. optimum-intel returns it as `model.config.ovpass`.
    The folder of a diffusion pipeline has the key in model_index.json; read it from that file.

    Raises:
        OvpassError: a subclass, as in `transform`. Then nothing is written.
    """
    destination = Path(output)
    if destination.exists() and not (destination.is_dir() and not any(destination.iterdir())):
        raise OutputError(f"{destination}: exists already; choose another place")
    with staging(destination) as staged:
        exported, folder = staged / "exported", staged / "applied"
        model.save_pretrained(exported)
        done = transform(exported, folder, settings, copy_weights=True)
        save_plans(dict(done.plans), folder / PLAN)
        _note_in_config(folder, done)
        publish(folder, destination)
    return Transformed(destination, done.plans, done.results, done.weights, done.run)


def _note_in_config(folder: Path, done: Transformed) -> None:
    config = next((folder / name for name in _CONFIGS if (folder / name).exists()), None)
    if config is None:
        raise OutputError(f"optimum-intel wrote none of {', '.join(_CONFIGS)}; there is no config to add to")
    try:
        data = parse_json(read_text(config))
    except MalformedError as error:
        raise OutputError(f"{config.name}, as optimum-intel has written it, cannot be read as JSON: {error}") from error
    settings = next(iter(done.plans.values())).settings
    data[KEY] = {
        "version": __version__,
        "settings": settings_to_dict(settings),
        "plan": PLAN,
        "run_properties": dict(done.run.properties),
        "run_environment": dict(done.run.environment),
    }
    config.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
