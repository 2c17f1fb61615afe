"""The pipeline as one function."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from ovpass.cli.nested import command_line, run_command
from ovpass.cli.output import headed
from ovpass.evaluation.corpus import read_text
from ovpass.optimization.estimates import Estimate, check_disk
from ovpass.optimization.outline import outline_of
from ovpass.optimization.packages import check_packages
from ovpass.optimization.pipeline import run_pipeline
from ovpass.optimization.publish import check_output, write_output
from ovpass.optimization.request import Request
from ovpass.optimization.stages import Stage, Stages
from ovpass.support.choices import check_keywords
from ovpass.support.sizes import available_memory, format_size

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Optimized:
    """The model folder, the stages, and by command what each found, as its JSON (None: left out)."""

    output: Path
    stages: Sequence[Stage]
    found: Mapping[str, Any]


def optimize(source: Path | str, output: Path | str, *, quiet: bool = False, **options: Any) -> Optimized:
    """Convert, compress, tune, apply, verify and evaluate a source, and write a model that is ready to run.

    `options` are the other fields of `Request`: target, max_kl, max_ppl_increase, preset, kv, max_task_drop,
    weights, memory, text, windows, window_tokens, work, layout and overwrite.

    Raises:
        OvpassError: a subclass, for an invalid source, setting or path. Then `output` is not written.
        CheckFailedError: if nothing can be quantized within the budget, or the plugin does not follow the plan.
    """
    check_keywords(options, [field.name for field in fields(Request)])
    paths = {name: Path(value) for name, value in options.items() if name in ("text", "work") and value is not None}
    return carry_out(Request(Path(source), Path(output), **{**options, **paths}), quiet=quiet)


def carry_out(request: Request, *, quiet: bool, report: Callable[[Stage, Any], None] = lambda *_: None) -> Optimized:
    """Carry out a request; `report` is told of each stage, with what it found.

    Raises:
        OvpassError: as `optimize`.
    """
    check_output(request)
    if request.text is not None:
        read_text(request.text)  # whether it can be read is told before the stages that come before its use
    outline = outline_of(request)
    check_packages(outline)
    _check_room(outline.estimate(), request.stages)
    stages = Stages(request.stages, partial(_run, left=outline.minutes_left(), quiet=quiet), report)
    stages.begin([path for path in (request.source, request.text) if path is not None])
    try:
        with command_line():
            made = run_pipeline(outline, stages, quiet=quiet)
            write_output(request, made, stages)
    except BaseException:  # an interruption, too
        stages.leave()
        raise
    if request.work is None:
        shutil.rmtree(stages.folder, ignore_errors=True)
    return Optimized(request.output, stages.done, made.found)


def _check_room(needed: Estimate, folder: Path) -> None:
    """Refuse too small a disk, and warn of too little memory: a system can swap."""
    check_disk(needed.disk, folder)
    if needed.memory > (free := available_memory()):
        _LOG.warning("A stage needs about %s of memory; %s are free", format_size(needed.memory), format_size(free))


def _run(name: str, arguments: Sequence[str], *, left: Mapping[str, float], quiet: bool) -> Any:
    minutes = round(left[name])
    with headed(f"{name}, {minutes} min left" if minutes else name):
        return run_command(name, [*arguments, *(["--quiet"] if quiet else [])])
