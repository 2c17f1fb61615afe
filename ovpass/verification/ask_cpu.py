"""Ask the CPU plugin which sites of a model it quantizes, and compare with the plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ovpass.errors import VerifyError
from ovpass.ir.runtime_options import GROUP_SIZE, read_group_size
from ovpass.lowerings import Evidence, evidence_of
from ovpass.planning.plan import QUANTIZE, SKIP, Plan
from ovpass.sites import CompressedMatMul
from ovpass.support.cpu_features import has_vnni
from ovpass.support.formatting import counted
from ovpass.targets import CPU as RULES
from ovpass.transformation.loading import Loaded
from ovpass.verification.expectation import as_seen, plan_as_is, properties_of
from ovpass.verification.question import CPU, Question
from ovpass.verification.refusals import refusal
from ovpass.verification.report import OTHERWISE, Report, SiteCheck, compare

_HINT = "INFERENCE_PRECISION_HINT"
_IN_BODIES = "in bodies of If or Loop, which the CPU plugin does not show"
_INITIALIZING = "in initializers of states, which the CPU plugin does not show"
_SATURATES = (
    "this CPU has no VNNI instructions: sums of two products are cut off at 16 bits, so numbers differ from the plan's"
)
_INDIFFERENT = "unknown: the outputs are the same quantized or not, as with all-zero weights"


def ask_cpu(loaded: Loaded, plan: Plan | None, question: Question) -> Report:
    """Compare the numbers of the CPU plugin with the plan, or without one with the CPU's own rules in f32.

    Raises:
        VerifyError: if the model does not compile or run.
    """
    from ovpass.sites import find_compressed_matmuls  # noqa: PLC0415
    from ovpass.verification.cpu import found_on_cpu, int8_on_cpu  # noqa: PLC0415 - brings OpenVINO along
    from ovpass.verification.cpu_cache import cache_on_cpu  # noqa: PLC0415

    if plan is None:
        # A plan of the CPU's own has to be run in f32.
        plan = plan_as_is(loaded, question, RULES.name)
        question = replace(question, properties=properties_of(plan, question))
    properties, model = dict(question.properties or {}), loaded.ir.read()
    try:
        sites = find_compressed_matmuls(model)
        if evidence_of(plan) is Evidence.INT8_PRODUCT:
            found = int8_on_cpu(model, properties)
            untold = {site.name: _why_not_shown(site) for site in sites if site.name not in found}
        else:
            # The cut-out sites do not have the options of the model that they come from.
            own = read_group_size(loaded.document.metadata)
            properties.setdefault(GROUP_SIZE, str(RULES.default_group_size if own is None else own))
            likely = {decision.name: decision.group_size for decision in plan.decisions}
            found = found_on_cpu(sites, properties, likely)
            untold = {site.name: _INDIFFERENT for site in sites if site.name not in found}
        cache = cache_on_cpu(model, plan, properties)
    except RuntimeError as error:
        raise VerifyError(f"{loaded.ir.xml}: {refusal(str(error), CPU)}") from error
    told = replace(plan, decisions=tuple(d for d in plan.decisions if not untold.get(d.name)))
    checks = compare(as_seen(told), found)
    reasons = Counter(why for why in untold.values() if why)
    notes = [f"{counted(n, 'site is', 'sites are')} {why}" for why, n in reasons.items()]
    if evidence_of(plan) is Evidence.PLUGIN:
        notes += _silently_off(plan, checks, properties)
    elif not has_vnni():
        notes.append(_SATURATES)
    return Report(CPU, None, tuple(checks), 0, notes=tuple(notes), cache=cache)


def _why_not_shown(site: CompressedMatMul) -> str | None:
    """Why the CPU's runtime model leaves a MatMul out, None where it should not."""
    if site.in_body:
        return _IN_BODIES
    reached = site.graph.downstream([site.index], lambda i: site.graph.types[i] != "ReadValue")
    ends = {site.graph.types[i] for i in reached if site.graph.types[i] == "ReadValue" or not site.graph.consumers[i]}
    return _INITIALIZING if ends == {"ReadValue"} else None


def _silently_off(plan: Plan, checks: Sequence[SiteCheck], properties: Mapping[str, str]) -> list[str]:
    """The plugin reports the group size it was asked for, whether it uses it or not."""
    requested = properties[GROUP_SIZE]
    unquantized = {check.name for check in checks if check.found is None}
    reasons = Counter(d.reason for d in plan.decisions if d.name in unquantized and d.action == SKIP)
    notes = [
        f"{counted(n, 'site is', 'sites are')} not quantized though the property says {requested}: {why}"
        for why, n in reasons.items()
    ]
    if len(unquantized) == len(checks) and plan.chosen(QUANTIZE) and requested != "0":
        why = RULES.switched_off(properties.get(_HINT, "").lower(), False)
        notes += [f"nothing is quantized: {why}"] if why else []
    if any(check.found == OTHERWISE for check in checks):
        notes.append("'otherwise' means that the activation is quantized, but no group size explains the numbers")
    return notes
