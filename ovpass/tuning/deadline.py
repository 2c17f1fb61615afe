"""Stop a search when its time is up."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from ovpass.support.progress import Progress


class TimeIsUp(Exception):  # noqa: N818 - no error: the search answers with what it has
    """No time is left for another measurement."""


@dataclass
class Deadline:
    """Progress that ends the search before a step for which no time is left. `minutes` None is no limit."""

    progress: Progress
    minutes: float | None
    share: float = 1.0
    """The share of the minutes that the present part of the search may use, counted from the beginning."""

    def __post_init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, step: str) -> None:
        """Show the step.

        Raises:
            TimeIsUp: if the time is up.
        """
        if time.monotonic() - self._started >= self.share * 60 * (math.inf if self.minutes is None else self.minutes):
            raise TimeIsUp
        self.progress(step)
