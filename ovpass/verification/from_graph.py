"""Compare a plan with an execution graph: what a plugin did with the model on any machine, without that machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ovpass.errors import LogError, SettingsError
from ovpass.lowerings import Evidence, evidence_of
from ovpass.planning.plan import Plan
from ovpass.planning.recorded_plan import recorded_plan
from ovpass.support.formatting import counted
from ovpass.targets import TARGETS
from ovpass.transformation.loading import Loaded, load_sole
from ovpass.verification.execution_graph import ExecutionGraph
from ovpass.verification.expectation import as_seen, given_plan, groups_found, plan_as_is
from ovpass.verification.observation import Observation
from ovpass.verification.original_names import readers_in
from ovpass.verification.question import Question
from ovpass.verification.report import Report, compare


def verify_graph(
    source: Path | str, graph: ExecutionGraph, question: Question, plans: Mapping[str, Plan] | None = None
) -> Report:
    """Compare the plan of a model with its execution graph, as `verify` does by compiling.

    Without a plan the rules of `question.target` apply, else those of the target that fits best.

    Raises:
        OvpassError: for a bad model or plan, a graph of another model, and a graph that does not show quantization.
    """
    loaded = load_sole(source, "graph")
    plan = given_plan(loaded, plans) or recorded_plan(loaded.document.metadata)
    if graph.device == "CPU":
        return _on_cpu(loaded, graph, plan)
    if not graph.shows_quantization:
        raise SettingsError(
            f"{graph.path}: is of a GPU without XMX, whose kernels quantize; the graph does not show which. "
            "'ovpass verify MODEL' on that machine does, and --simulate meteor-lake here"
        )
    seen = Observation(error=None, matmuls=tuple(graph.matmuls(readers_in(loaded.document.graph))))
    _check_model(graph, loaded, set(seen.groups))
    notes = []
    if plan is None and question.target is None:
        fitting = [_compared(loaded, plan_as_is(loaded, question, name), seen, graph) for name in _with_xmx()]
        report = min(fitting, key=lambda report: len(report.mismatches))
        name = _with_xmx()[fitting.index(report)]
        notes.append(f"the rules are those of {name}, which fit best; --device names another target or device")
    else:
        report = _compared(loaded, plan or plan_as_is(loaded, question, question.target or ""), seen, graph)
    return replace(report, notes=(*notes, *report.notes))


def _with_xmx() -> list[str]:
    return [name for name, target in TARGETS.items() if target.owns is not None and target.per_site_group_size]


def _compared(loaded: Loaded, plan: Plan, seen: Observation, graph: ExecutionGraph) -> Report:
    shown, notes = _without_bodies(loaded, as_seen(plan))
    checks = compare(shown, groups_found(seen, plan))
    return Report(graph.device, None, tuple(checks), graph.quantizers, notes=tuple(notes))


def _on_cpu(loaded: Loaded, graph: ExecutionGraph, plan: Plan | None) -> Report:
    if plan is None or evidence_of(plan) is not Evidence.INT8_PRODUCT:
        raise SettingsError(
            f"{graph.path}: is of a CPU, whose graph shows int8 products and not the plugin's own quantization; "
            "'ovpass verify MODEL --device cpu' on that machine tells by numbers"
        )
    found = graph.int8_products()
    _check_model(graph, loaded, set(found))
    shown, notes = _without_bodies(loaded, plan)
    return Report(graph.device, None, tuple(compare(shown, found)), 0, notes=tuple(notes))


def _without_bodies(loaded: Loaded, plan: Plan) -> tuple[Plan, list[str]]:
    hidden = {site.name for site in loaded.sites if site.in_body}
    if not hidden:
        return plan, []
    are = counted(len(hidden), "site is", "sites are")
    shown = replace(plan, decisions=tuple(decision for decision in plan.decisions if decision.name not in hidden))
    return shown, [f"{are} in bodies of If or Loop, which an execution graph does not show"]


def _check_model(graph: ExecutionGraph, loaded: Loaded, names: set[str]) -> None:
    shown = {site.name for site in loaded.sites if not site.in_body}
    if shown and not names & shown:
        raise LogError(f"{graph.path}: is of another model: it has no MatMul of {loaded.ir.xml}")
