"""Put what the stages made into the output folder, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovpass.errors import OutputError
from ovpass.ir.files import open_source
from ovpass.optimization.card import FILE_NAME as CARD
from ovpass.optimization.card import card
from ovpass.optimization.generate_script import FILE_NAME as SCRIPT
from ovpass.optimization.generate_script import can_generate, script
from ovpass.optimization.pipeline import Made
from ovpass.optimization.request import Request
from ovpass.optimization.stages import Stages
from ovpass.planning.plan import Plan, save_plans
from ovpass.planning.recorded_plan import recorded_plan
from ovpass.reporting.page import write_report
from ovpass.reporting.runs import load_run
from ovpass.reporting.side import Side
from ovpass.support.atomic_output import place, publish, staging
from ovpass.targets.names import find_name
from ovpass.transformation.destination import check_folder, refuse_foreign

PLAN, REPORT = "plan.yaml", "report.html"
_SHOWN = ("tune", "apply", "verify", "evaluate")


def check_output(request: Request) -> None:
    """Refuse, before anything takes long, an output that is not free or that holds what is not ours.

    Raises:
        OutputError: naming what is in the way.
    """
    output = request.output
    check_folder(request.source, output, request.overwrite)
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not (output / PLAN).is_file() or not (output / REPORT).is_file():
        raise OutputError(f"{output}: was not made by ovpass optimize; choose another place, or empty it")


def write_output(request: Request, made: Made, stages: Stages) -> None:
    """Write the model, its plan, report, model card and a script that runs it.

    Raises:
        OutputError: if the folder cannot be written.
    """
    folder = made.served or _folder(made)
    with staging(request.output) as staged:
        out = staged / "output"
        for path in sorted(folder.rglob("*")):
            target = out / path.relative_to(folder)
            if path.is_dir():
                target.mkdir(parents=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                place(path, target, copy=False)
        _write_extras(request, made, stages, out)
        refuse_foreign(request.output, out)
        publish(out, request.output)


def _write_extras(request: Request, made: Made, stages: Stages, out: Path) -> None:
    save_plans(_plans(made.model), out / PLAN)
    runs = [load_run(stages.file(name)) for name in _SHOWN if made.found.get(name)]
    write_report(Side.of(runs), out / REPORT)
    applied: Mapping[str, Any] = made.found["apply"]
    if can_generate(out) and made.found.get("tune"):
        device = find_name(request.target).target.device
        options = applied["settings"].get("runtime_options", {})
        text = script(applied["run_environment"], applied["run_properties"], device, options)
        (out / SCRIPT).write_text(text, encoding="utf-8")
    if not (out / CARD).exists():
        size = sum(ir.bin.stat().st_size for ir in open_source(made.model).models)
        text = card(request, list(stages.last.values()), made.found, size, script=(out / SCRIPT).is_file())
        (out / CARD).write_text(text, encoding="utf-8")


def _folder(made: Made) -> Path:
    return made.model if made.model.is_dir() else made.model.parent


def _plans(model: Path) -> dict[str, Plan]:
    """What apply recorded in the models."""
    recorded = {ir.key: recorded_plan(ir.document().metadata) for ir in open_source(model).models}
    plans = {key: plan for key, plan in recorded.items() if plan is not None}
    return {"": next(iter(plans.values()))} if len(plans) == 1 else plans
