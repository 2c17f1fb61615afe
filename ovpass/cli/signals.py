"""Clean up on SIGTERM and SIGHUP as on a normal exit."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 10.0
"""Seconds for cleaning up; code that swallows the exception would go on for ever."""


class _Ended(SystemExit):
    """A signal has ended the command."""


@contextmanager
def ending_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit inside the block; one that is ignored, as under nohup, stays so.

    The process then ends at the end of the block, whatever threads of other libraries are doing.
    """
    before = {number: signal.getsignal(number) for number in _ENDING}
    caught = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, _leave)
    try:
        yield
    except _Ended as ended:
        _exit_now(int(str(ended.code)))
    finally:
        for number in caught:
            signal.signal(number, before[number])


def _leave(number: int, _: FrameType | None) -> None:
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)  # a second one must not interrupt the cleaning up
    code = 128 + number
    last = threading.Timer(_PATIENCE, os._exit, (code,))
    last.daemon = True
    last.start()
    raise _Ended(code)


def _exit_now(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
