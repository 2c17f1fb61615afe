"""Ask a device whether it compiles a model, without compiling any kernel, before anything is done to the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ovpass.errors import NoDeviceError, VerifyError
from ovpass.ir.files import IrFile
from ovpass.support.progress import Progress
from ovpass.verification.observation import Order
from ovpass.verification.question import CPU, Question
from ovpass.verification.refusals import refusal


def check_compilable(models: Sequence[IrFile], question: Question, progress: Progress) -> None:
    """Make sure that the device of a question compiles models, as far as its plugin's graph tells.

    Raises:
        VerifyError: naming the models that it does not compile, with the plugin's words for the first.
        NoDeviceError: if there is no such device.
    """
    refused = dict(_refused(models, question, progress))
    if not refused:
        return
    first, *others = refused
    device = f"simulated {question.simulate}" if question.simulate else question.device
    more = f"; nor {', '.join(str(ir.xml) for ir in others)}" if others else ""
    raise VerifyError(
        f"{first.xml}: does not compile on {device}: {refused[first]}{more}; change the model, or name another target"
    )


def _refused(models: Sequence[IrFile], question: Question, progress: Progress) -> Iterator[tuple[IrFile, str]]:
    for ir in models:
        progress(f"asking {question.device} for {ir.key or ir.xml.name}")
        said = _cpu_says(ir) if question.device == CPU else _gpu_says(ir, question)
        if said is not None:
            yield ir, said


def _cpu_says(ir: IrFile) -> str | None:
    from ovpass.ir.custom_op import new_core  # noqa: PLC0415 - brings OpenVINO along
    from ovpass.verification.query import require_compilable  # noqa: PLC0415

    try:
        require_compilable(new_core(), ir.read(), CPU, {})
    except RuntimeError as error:
        return refusal(str(error), CPU)
    return None


def _gpu_says(ir: IrFile, question: Question) -> str | None:
    """Each model in a process of its own: if one crashes the plugin, its name is known."""
    from ovpass.verification.ask_gpu import look  # noqa: PLC0415

    order = Order(str(ir.xml.resolve()), queried=True, complete=True, device=question.device)
    try:
        seen = look(order, {}, question)
    except NoDeviceError:
        raise
    except VerifyError as error:
        return str(error)
    return None if seen.error is None else refusal(seen.error)
