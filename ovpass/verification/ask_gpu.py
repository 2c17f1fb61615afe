"""Ask the GPU plugin which sites of a model it quantizes, and compare with the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ovpass.errors import NoDeviceError, VerifyError
from ovpass.ir.files import IrFile
from ovpass.lowerings import Evidence, evidence_of
from ovpass.planning.crashes import crashing_sites, describe_crashes
from ovpass.planning.plan import Plan
from ovpass.targets import GPU_NO_XMX, Target
from ovpass.targets.names import get_profile, get_target
from ovpass.transformation.loading import Loaded
from ovpass.verification.expectation import as_seen, groups_found, plan_as_is
from ovpass.verification.gpu_process import run_in_child
from ovpass.verification.observation import TRACING, Observation, Order
from ovpass.verification.question import USUAL, Question
from ovpass.verification.reference_kernels import reference_kernels
from ovpass.verification.refusals import refusal
from ovpass.verification.report import Report, SiteCheck, compare, runs_summary
from ovpass.verification.simulated_gpu import NOT_COVERED, SimulatedGpu
from ovpass.verification.threshold import LARGEST

_INSIDE_THE_KERNEL = "without XMX, the kernels show which sites are quantized, but not their group sizes"
_NO_KERNELS = (
    "no kernel was compiled: the group sizes are those of the plugin's graph, and what fails later is not seen"
)


def ask_gpu(loaded: Loaded, plan: Plan | None, question: Question) -> Report:
    """Compile a model on a GPU, or on a simulated one; without a `plan`, compare with the rules of what answers.

    Raises:
        VerifyError: if it does not compile or run, with the cause if that is known.
        NoDeviceError: if there is no such device.
    """
    queried = not question.kernels and _decides_in_its_graph(question)
    traced = queried or any(site.in_body for site in loaded.sites)
    order = Order(
        str(loaded.ir.xml.resolve()),
        dict(question.properties or {}),
        tuple(question.tokens),
        bisect=question.find_threshold,
        traced=traced,
        queried=queried,
        complete=True,
        device=question.device,
    )
    environment = {**(plan.run_environment if plan else {}), **(TRACING if traced else {})}
    try:
        seen = look(order, environment, question)
    except NoDeviceError:
        raise
    except VerifyError as error:
        expected = question.target or question.simulate or USUAL
        crashing = _crashing(loaded, plan or plan_as_is(loaded, question, expected), get_target(expected))
        raise VerifyError(f"{error}{f' (known cause: {describe_crashes(crashing)})' if crashing else ''}") from error
    require_success(seen, loaded.ir, question)
    plan = plan or plan_as_is(loaded, question, question.target or question.simulate or seen.target.name)
    notes = reference_kernels(seen, loaded.sites, plan, simulated=question.simulate is not None)
    crashing = _crashing(loaded, plan, seen.target)
    if crashing:
        notes.append(describe_crashes(crashing))
    if not seen.xmx:
        notes.append(f"it compiles with group size {seen.group_size_property}; {_INSIDE_THE_KERNEL}")
    if queried:
        notes.append(_NO_KERNELS)
    if question.find_threshold and seen.threshold is None:
        notes.append(f"quantization did not run for 1 to {LARGEST} tokens")
    return report_of(seen, question, compare(as_seen(plan), groups_found(seen, plan)), notes)


def _decides_in_its_graph(question: Question) -> bool:
    """Whether the device does; a GPU without XMX decides in its kernels."""
    return get_target(question.simulate or question.target or USUAL) is not GPU_NO_XMX


def _crashing(loaded: Loaded, plan: Plan, target: Target) -> Mapping[str, str]:
    return crashing_sites(loaded.sites, plan.decisions, target) if evidence_of(plan) is Evidence.PLUGIN else {}


def look(order: Order, environment: Mapping[str, str], question: Question) -> Observation:
    """What the device of a question, or the simulated one, makes of an order.

    Raises:
        NoDeviceError: if there is no such device.
        VerifyError: if the plugin's process ends early.
    """
    if question.simulate:
        return SimulatedGpu(question.simulate, question.timeout).look([order], environment)[0]
    seen = run_in_child([order], environment, question.timeout)
    if seen is None:
        raise NoDeviceError(
            f"OpenVINO sees no {question.device}; "
            f"--simulate {get_profile(question.target or USUAL).name} checks without one"
        )
    return seen[0]


def require_success(seen: Observation, ir: IrFile, question: Question) -> None:
    """Make sure that a model compiled and ran.

    Raises:
        VerifyError: saying what the plugin said.
    """
    if seen.error is not None:
        did = "does not run" if seen.compiled else "does not compile"
        raise VerifyError(f"{ir.xml}: {did} on {question.device}: {refusal(seen.error)}")


def report_of(seen: Observation, question: Question, checks: Sequence[SiteCheck], notes: Sequence[str] = ()) -> Report:
    """The report on what was seen; that a device is simulated is its first note."""
    simulated = [f"the device is simulated ({question.simulate}): {NOT_COVERED}"] if question.simulate else []
    return Report(
        question.device,
        question.simulate,
        tuple(checks),
        seen.quantizers,
        runs_summary(seen.runs),
        seen.threshold,
        (*simulated, *notes),
        seen.device_name,
        seen.driver or None,
    )
