"""Signals that end a process, at moments when it must not end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that end the process wait until the short block is done, and then do what they did before."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python handles signals in the main thread only
        return
    waiting: list[int] = []
    process = os.getpid()

    def wait(number: int, _: FrameType | None) -> None:
        end_fork_of(process, number)
        waiting.append(number)

    before: dict[int, Any] = {number: handler for number in ENDING if (handler := signal.getsignal(number)) is not None}
    for number in before:
        signal.signal(number, wait)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in waiting:
            signal.raise_signal(number)


def end_fork_of(process: int, number: int) -> None:
    """End a fork of `process` by that signal at once.

    OpenVINO's telemetry forks from a thread, whenever that is, and waits for ever for a fork that survives its signal.
    """
    if os.getpid() != process:
        os._exit(128 + number)
