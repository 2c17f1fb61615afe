"""Ended from outside, a command leaves as little behind as when it ends by itself."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from ovpass.support.signals import ENDING, end_fork_of

_PATIENCE = 0.5
"""Seconds until an exception that somebody has swallowed is raised again."""


@contextmanager
def ending_in_order() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt inside the block, SIGTERM and SIGHUP SystemExit; then the process ends at once.

    A signal that is ignored, as SIGHUP is under nohup, stays so.
    """
    ending = _Ending()
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: handler for number in ENDING if (handler := signal.getsignal(number)) in usual}
    for number in before:
        signal.signal(number, ending)
    try:
        yield
    except BaseException:
        ending.leave()  # while it is handled, so that it is not raised again
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    ending.leave()


class _Ending:
    """Handles signals: the first raises an exception, which cleans up; further ones let it."""

    def __init__(self) -> None:
        self._exception: BaseException | None = None
        self._code = 0
        self._process = os.getpid()
        self._tell = sys.unraisablehook

    def __call__(self, number: int, _: FrameType | None) -> None:
        end_fork_of(self._process, number)
        if self._exception is None:
            self._exception = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
            self._code = 128 + number
            sys.unraisablehook = self._tell_of_others
            signal.signal(signal.SIGALRM, self)
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE, _PATIENCE)
        elif _is_handled(self._exception):
            return
        # Callbacks of Python and `except:` of libraries swallow what is raised in them.
        raise self._exception

    def _tell_of_others(self, swallowed: sys.UnraisableHookArgs) -> None:
        if swallowed.exc_value is not self._exception:
            self._tell(swallowed)

    def leave(self) -> None:
        """End the process where a signal has come: the interpreter would wait for threads of libraries first."""
        if self._exception is None:
            return
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        if "multiprocessing" in sys.modules:
            _kill_children()
        os._exit(self._code)


def _is_handled(exception: BaseException) -> bool:
    """Whether the interrupted code is that of an `except`, `finally` or `with` through which the exception goes."""
    handled = sys.exc_info()[1]
    while handled is not None and handled is not exception:
        handled = handled.__context__
    return handled is exception


def _kill_children() -> None:
    import multiprocessing  # noqa: PLC0415 - only where a library has loaded it

    for child in multiprocessing.active_children():
        child.kill()
