"""Options that sensitivity, bisect and tune share, and the Experiment that they configure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ovpass.cli.grouped_help import options_of
from ovpass.cli.options import PATH, cluster_options, evaluation_from, evaluation_options, settings_from
from ovpass.support.progress import Progress
from ovpass.tuning.units import BY

if TYPE_CHECKING:
    from ovpass.tuning.experiment import Experiment

by_option = click.option("--by", default="site", help=f"Unit to switch: {', '.join(BY)}.  [default: site]")
_search = options_of("Search")
_OPTIONS = (
    _search("--state", type=PATH, help="Folder for measurements; a run resumes from it."),
    _search("--workers", type=int, help="Measure in this many processes, which share the processors."),
    _search("--blockwise", is_flag=True, help="Load one block at a time: for models larger than memory."),
    *cluster_options(_search),
)


def search_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `experiment_from` reads, apart from those of settings."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return evaluation_options(command)


def experiment_from(model: Path, options: dict[str, Any], progress: Progress) -> Experiment:
    """Make the Experiment from the options.

    Raises:
        SettingsError: for settings or numbers that are not possible.
    """
    from ovpass.tuning.executors.choice import choose_executor  # noqa: PLC0415 - not needed to print help
    from ovpass.tuning.experiment import Experiment, experiment_settings  # noqa: PLC0415

    settings = experiment_settings(settings_from(options), options["profile"])
    executor, workers = choose_executor(
        options["workers"], options["cluster"], mixed_hosts=options["mixed_hosts"], blockwise=options["blockwise"]
    )
    return Experiment(model, settings, evaluation_from(options), options["state"], progress, executor, workers)
