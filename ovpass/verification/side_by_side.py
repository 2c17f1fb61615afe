"""One model on every device that can be simulated, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ovpass.errors import NoDeviceError, VerifyError
from ovpass.planning.plan import Plan
from ovpass.support.progress import Progress
from ovpass.targets.names import profiles
from ovpass.verification.question import Question
from ovpass.verification.report import Report
from ovpass.verification.verify_model import verify

ALL = "all"
"""What stands for all devices that are sold where one is to be simulated."""


@dataclass(frozen=True)
class Answer:
    """What one device said: reports by model, or why there are none. Without a driver `missing` is set, too."""

    device: str
    reports: Mapping[str, Report]
    error: str = ""
    missing: bool = False

    @property
    def ok(self) -> bool:
        """Whether the plugin did what was planned, or could not be asked for want of a driver."""
        return self.missing or (not self.error and all(report.ok for report in self.reports.values()))


def verify_on_all(
    source: Path | str, question: Question, plans: Mapping[str, Plan] | None, progress: Progress
) -> list[Answer]:
    """Ask each simulated device that is sold in turn; `question` says what.

    Raises:
        OvpassError: as `verify`, but for what a single device refuses.
        NoDeviceError: if there is no driver for any of them.
    """
    answers = []
    for name, profile in profiles().items():
        if not profile.preview:
            progress(f"compiling for {name}")
            answers.append(_ask(name, source, question, plans))
    if all(answer.missing for answer in answers):
        raise NoDeviceError(answers[0].error)
    return answers


def _ask(name: str, source: Path | str, question: Question, plans: Mapping[str, Plan] | None) -> Answer:
    try:
        return Answer(name, verify(source, replace(question, simulate=name), plans))
    except NoDeviceError as error:
        return Answer(name, {}, str(error), missing=True)
    except VerifyError as error:
        return Answer(name, {}, str(error))
