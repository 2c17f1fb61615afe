"""Progress on a terminal: a bar for counted steps, otherwise a spinner."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from ovpass.support.printable import in_one_line
from ovpass.support.progress import count_in

_LEAST, _BESIDE = 12, 44
"""The least characters for a step in words, and what a bar and its numbers take."""


class StepBar:
    """Shows one step after the other, as it is told of them.

    A step that says `3 of 8` is the third of eight; `3 of 8 left` leaves three. A count that goes back, or has another
    total, is of another thing, whose time is reckoned anew.
    """

    def __init__(self, console: Console) -> None:
        # Of too little room rich would give all to a long step, and none to the bar.
        self._room = max(_LEAST, console.width - _BESIDE)
        self.progress = Progress(
            SpinnerColumn("dots" if console.encoding.startswith("utf") else "line"),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            _Counted(BarColumn(bar_width=16)),
            _Counted(MofNCompleteColumn()),
            _Counted(_TimeLeft()),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self.progress.add_task("starting", total=None)
        self._done: int = 0
        self._total: int | None = None

    def show(self, step: str) -> None:
        """Go on to this step."""
        done, total = count_in(step)
        step = _shortened(in_one_line(step), self._room)
        if total == self._total and total is not None and done >= self._done:
            self.progress.update(self._task, completed=done, description=step)
        else:
            self.progress.remove_task(self._task)  # its clock is another's, and a total cannot be taken back
            self._task = self.progress.add_task(step, completed=done, total=total)
        self._done, self._total = done, total


class _TimeLeft(ProgressColumn):
    """The time left by the steps done, from the first on: that of rich needs several within half a minute."""

    def render(self, task: Task) -> Text:
        if not task.completed or task.remaining is None or task.elapsed is None:
            return Text("")
        seconds = round(task.elapsed / task.completed * task.remaining)
        return Text(f"-{timedelta(seconds=seconds)}", style="progress.remaining")


class _Counted(ProgressColumn):
    """A column for steps that are counted; empty for others."""

    def __init__(self, column: ProgressColumn) -> None:
        super().__init__()
        self._column = column

    def render(self, task: Task) -> RenderableType:
        return Text("") if task.total is None else self._column(task)


def _shortened(step: str, room: int) -> str:
    """Without its middle where it is too long: what is done stands at its begin, how far it is at its end."""
    head, tail = (room - 1) // 2, room // 2
    return step if len(step) <= room else f"{step[:head]}…{step[-tail:]}"
