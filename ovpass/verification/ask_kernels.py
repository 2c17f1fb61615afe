"""Ask a plugin what computes the ops of the kernel lowering."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from ovpass.errors import VerifyError
from ovpass.ir.document import IrDocument
from ovpass.ir.files import IrFile
from ovpass.planning.plan import REPLACE
from ovpass.planning.recorded_plan import ops_of, recorded_plan
from ovpass.verification.ask_gpu import look, report_of, require_success
from ovpass.verification.observation import Order
from ovpass.verification.question import CPU, Question
from ovpass.verification.report import KERNEL, Report, compare


def ask_kernels(ir: IrFile, document: IrDocument, question: Question) -> Report:
    """What computes the ops of the kernel lowering; other MatMuls of such a model run as by default."""
    plan = recorded_plan(document.metadata)
    replaced = ops_of(document)
    if plan is None:
        raise VerifyError(f"{ir.xml}: has ops of ovpass, but no plan of it; strip it, and apply the lowering again")
    kept = replace(plan, decisions=tuple(plan.chosen(REPLACE)))
    if question.device == CPU:
        from ovpass.verification.kernels import kernels_on_cpu  # noqa: PLC0415 - brings OpenVINO along

        found = kernels_on_cpu(ir, replaced, question.properties or {})
        return Report(CPU, None, tuple(compare(kept, found)), 0)
    from ovpass.kernels.opencl import CONFIG_FILE, write_gpu_kernels  # noqa: PLC0415 - brings OpenVINO along

    with tempfile.TemporaryDirectory(prefix="ovpass-kernels-") as folder:
        config = {CONFIG_FILE: str(write_gpu_kernels(Path(folder))), **(question.properties or {})}
        order = Order(str(ir.xml.resolve()), config, tuple(question.tokens), device=question.device)
        seen = look(order, plan.run_environment, question)
    require_success(seen, ir, question)
    found = {site: KERNEL for op in seen.kernels for site in replaced.get(op, ())}
    return report_of(seen, question, compare(kept, found))
