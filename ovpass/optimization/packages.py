"""Packages of the stages: what is missing is told before the first one runs."""

from __future__ import annotations

from collections.abc import Iterator

from ovpass.compression.modes import MODES, NNCF
from ovpass.optimization.outline import Outline
from ovpass.reporting.page import PACKAGES as OF_REPORTS
from ovpass.support.extras import require_package


def check_packages(outline: Outline) -> None:
    """Make sure that the stages that are certain to run find their packages.

    Raises:
        ExtraError: naming the package that is missing, and its extra.
    """
    for package, extra, purpose in _needed(outline):
        require_package(package, extra, purpose)


def _needed(outline: Outline) -> Iterator[tuple[str, str, str]]:
    for package in OF_REPORTS:
        yield package, "report", "a report"
    if outline.facts.compressed is False and MODES[outline.mode].engine == NNCF:
        yield "nncf", "compress", "compressing weights"
    if outline.facts.predicts_tokens:
        yield "openvino_tokenizers", "eval", "reading an OpenVINO tokenizer"
        yield "scipy", "eval", "a confidence interval"
    if outline.request.max_task_drop is not None:
        yield "lm_eval", "eval", "--max-task-drop"
        yield "openvino_genai", "genai", "--max-task-drop"
