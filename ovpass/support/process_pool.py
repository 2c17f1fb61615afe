"""Run functions in processes of this machine. When a process is lost, what it ran and what waited runs again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Generic, TypeVar

from ovpass.errors import ExecutorError

_AHEAD = 2
"""Calls for each process that are handed out: one that runs and one that waits."""
_LOSSES = 3

_T = TypeVar("_T")


class ProcessPool(Generic[_T]):
    """So many processes. `advice` follows on what an error says when they are lost again and again."""

    def __init__(self, width: int, advice: str) -> None:
        self.width, self._advice = width, advice
        self._pool = self._new_pool()

    def run(self, calls: Iterable[Callable[[], _T]]) -> Iterator[_T]:
        """The result of each call, in their order. Calls and results can be pickled; calls are taken as there is room.

        Raises:
            ExecutorError: if processes end again and again.
        """
        waiting: deque[tuple[Callable[[], _T], Future[_T]]] = deque()
        for call in calls:
            waiting.append((call, self._submit(call)))
            if len(waiting) >= _AHEAD * self.width:
                yield self._first(waiting)
        while waiting:
            yield self._first(waiting)

    def close(self) -> None:
        """End the processes; calls that wait are not run."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _first(self, waiting: deque[tuple[Callable[[], _T], Future[_T]]]) -> _T:
        """The result of the first call; a broken pool is replaced, and what waits runs again."""
        for _ in range(_LOSSES):
            try:
                result = waiting[0][1].result()
            except BrokenProcessPool:
                self._pool = self._new_pool()
                again = [(call, self._submit(call)) for call, _ in waiting]
                waiting.clear()
                waiting.extend(again)
            else:
                waiting.popleft()
                return result
        raise ExecutorError(
            f"workers: processes ended {_LOSSES} times before they answered, perhaps for want of memory; {self._advice}"
        )

    def _submit(self, call: Callable[[], _T]) -> Future[_T]:
        try:
            return self._pool.submit(call)
        except BrokenProcessPool:
            self._pool = self._new_pool()
            return self._pool.submit(call)

    def _new_pool(self) -> ProcessPoolExecutor:
        # A process with threads, as OpenVINO's are, cannot be forked safely.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.width, context, initializer=_follow_parent)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it has ended, however it did."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)
