"""Run functions on a cluster of Dask distributed. Dask runs the tasks of lost workers again."""

from __future__ import annotations

import atexit
import logging
import pydoc
import weakref
from asyncio import CancelledError as LostTask
from asyncio import TimeoutError as OutOfTime
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import cached_property
from typing import Any

from ovpass.errors import ExecutorError, OvpassError, SettingsError
from ovpass.support.extras import extra_module
from ovpass.support.formatting import last_line
from ovpass.version import __version__

LOCAL = "local"
"""The address of a cluster on this machine, which lives as long as it is used."""
_AHEAD = 2
"""Tasks for each worker that are handed out: one that runs and one that waits."""
_CONNECT_SECONDS = 10
_CLOSE_SECONDS = 5
_PATIENCE_SECONDS = 30
_VERSION = "ovpass.version.__version__"


class DaskCluster:
    """The workers at `address`, that of a scheduler, or LOCAL for `processes` of so many `threads` on this machine.

    Raises, from every method:
        ExecutorError: if the cluster does not answer, lacks workers or this version of ovpass, or is lost.
        SettingsError: if the address is none.
    """

    def __init__(self, address: str, processes: int, threads: int) -> None:
        self._address, self._processes, self._threads = address, processes, threads
        self._name = f"cluster {address}"
        self._leave: Callable[[], Any] = lambda: None

    @property
    def width(self) -> int:
        """How many workers there are now."""
        return max(1, len(self._client.nthreads()))

    @property
    def fewest_threads(self) -> int:
        """The threads of the worker that has the fewest."""
        return int(min(self._client.nthreads().values()))

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The future of a call, whose arguments can be futures; they and its result stay on the workers."""
        return self._client.submit(function, *arguments, pure=False)

    def results(self, futures: Iterable[Any]) -> Iterator[Any]:
        """The result of each future, in their order. Futures are taken as there is room.

        Raises:
            OvpassError: that the function raises.
        """
        room, waiting = _AHEAD * self.width, deque[Any]()
        for future in futures:
            waiting.append(future)
            if len(waiting) >= room:
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())

    def ask(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """What a function returns on each worker, by its address.

        Raises:
            OvpassError: the first one that the function raises.
        """
        return self._ask(self._client, function, *arguments)

    def close(self) -> None:
        """Leave the cluster, where what was handed out ends; end it where it is LOCAL."""
        self._leave()

    def _result(self, future: Any) -> Any:
        distributed = _distributed()
        try:
            return self._waited_for(future)
        except OvpassError:
            raise
        except distributed.KilledWorker as error:
            raise ExecutorError(
                f"{self._name}: workers end before they answer, perhaps for want of memory: {last_line(error)}"
            ) from error
        except (CancelledError, LostTask, OutOfTime, OSError) as error:
            raise ExecutorError(
                f"{self._name}: the scheduler is lost; start it and run the same command again: measurements are kept"
            ) from error

    def _waited_for(self, future: Any) -> Any:
        """The result, as long as there are workers; Dask waits for new ones without end."""
        while True:
            try:
                return future.result(timeout=_PATIENCE_SECONDS)
            except OutOfTime:
                if not self._client.nthreads():
                    raise ExecutorError(
                        f"{self._name}: has no workers left; start one with 'dask worker' and run the same command "
                        "again: measurements are kept"
                    ) from None

    @cached_property
    def _client(self) -> Any:
        """The connection, with at least one worker behind it, all of this version."""
        distributed = _distributed()
        _silence()
        place = self._place()
        try:
            client = distributed.Client(place, timeout=_CONNECT_SECONDS, set_as_default=False)
        except ValueError as error:
            raise SettingsError(f"{self._name}: {last_line(error)}; write tcp://HOST:PORT, or local") from error
        except (OSError, OutOfTime) as error:
            raise ExecutorError(
                f"{self._name}: does not answer within {_CONNECT_SECONDS} seconds: {last_line(error)}; "
                "start it with 'dask scheduler', or use --cluster local"
            ) from error
        # Dask's own way to close what was left open comes too late at the end of Python, and waits for nothing.
        self._leave = atexit.register(weakref.finalize(self, _close, client, place))
        try:
            client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except (OutOfTime, OSError) as error:
            raise ExecutorError(f"{self._name}: has no workers; start one with 'dask worker'") from error
        self._check_versions(client)
        return client

    def _place(self) -> Any:
        if self._address != LOCAL:
            return self._address
        return _distributed().LocalCluster(
            n_workers=self._processes,
            threads_per_worker=self._threads,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )

    def _check_versions(self, client: Any) -> None:
        # A worker without ovpass cannot unpickle functions of ovpass; it always has those of Python.
        for address, version in self._ask(client, pydoc.locate, _VERSION).items():
            if version != __version__:
                found = "is not installed" if version is None else f"is {version}"
                raise ExecutorError(f"worker {address}: ovpass {found} there, and {__version__} here; install that one")

    def _ask(self, client: Any, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        answers = client.run(function, *arguments, on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, OvpassError):
                raise type(answer)(f"worker {address}: {answer}")
            if isinstance(answer, Exception):
                raise ExecutorError(f"worker {address}: cannot be used: {last_line(answer)}")
        return dict(answers)


def _close(client: Any, place: Any) -> None:
    """Leave the cluster, and end it where it is our own."""
    with suppress(OutOfTime, OSError):
        client.close(timeout=_CLOSE_SECONDS)
        if not isinstance(place, str):
            place.close(timeout=_CLOSE_SECONDS)


def _silence() -> None:
    """Lost workers are expected here, and what Dask says about them is no message for users."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _distributed() -> Any:
    return extra_module("distributed", "cluster", "--cluster")
