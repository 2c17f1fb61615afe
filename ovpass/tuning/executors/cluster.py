"""Run measurements on a cluster of Dask distributed."""

from __future__ import annotations

import atexit
import logging
import pydoc
import weakref
from asyncio import CancelledError as LostTask
from asyncio import TimeoutError as OutOfTime
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from functools import cached_property
from typing import Any

from ovpass.errors import ExecutorError, OvpassError, SettingsError
from ovpass.evaluation.comparison import TokenScores
from ovpass.support.extras import extra_module
from ovpass.support.formatting import last_line
from ovpass.tuning.executors.base import Subject, Task
from ovpass.tuning.executors.copies import Host, Recipe, check_host, describe, measure
from ovpass.version import __version__

_AHEAD = 2
"""Tasks for each worker that are handed out: one that runs and one that waits."""
_CONNECT_SECONDS = 10
_CLOSE_SECONDS = 5
_PATIENCE_SECONDS = 30
_LOCAL = "local"
_VERSION = "ovpass.version.__version__"


class Cluster:
    """Workers of a cluster, each with its own copy of the model. Dask runs the tasks of lost workers again."""

    def __init__(self, subject: Subject) -> None:
        self._subject, self._workers = subject, subject.workers
        self._name = f"cluster {self._workers.cluster or _LOCAL}"

    @property
    def width(self) -> int:
        """How many workers there are now."""
        return max(1, len(self._client.nthreads()))

    def run(self, tasks: Iterable[Task]) -> Iterator[list[TokenScores]]:
        """The scores of each task, in the order of the tasks.

        Raises:
            ExecutorError: if the cluster does not answer, its workers are not alike, or all is lost.
        """
        recipe, room = self._recipe, _AHEAD * self.width
        waiting: deque[Any] = deque()
        for task in tasks:
            waiting.append(self._client.submit(measure, recipe, task, pure=False))
            if len(waiting) >= room:
                yield self._result(waiting.popleft())
        while waiting:
            yield self._result(waiting.popleft())

    def _result(self, future: Any) -> list[TokenScores]:
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

    def _waited_for(self, future: Any) -> list[TokenScores]:
        """The result, as long as there are workers; Dask waits for new ones without end."""
        while True:
            try:
                scores: list[TokenScores] = future.result(timeout=_PATIENCE_SECONDS)
            except OutOfTime:
                if not self._client.nthreads():
                    raise ExecutorError(
                        f"{self._name}: has no workers left; start one with 'dask worker' and run the same command "
                        "again: measurements are kept"
                    ) from None
            else:
                return scores

    @cached_property
    def _client(self) -> Any:
        """The connection, with at least one worker behind it."""
        distributed = _distributed()
        _silence()
        address = self._address()
        try:
            client = distributed.Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except ValueError as error:
            raise SettingsError(f"{self._name}: {last_line(error)}; write tcp://HOST:PORT, or local") from error
        except (OSError, OutOfTime) as error:
            raise ExecutorError(
                f"{self._name}: does not answer within {_CONNECT_SECONDS} seconds: {last_line(error)}; "
                "start it with 'dask scheduler', or use --cluster local"
            ) from error
        # Dask's own way to close what was left open comes too late at the end of Python, and waits for nothing.
        atexit.register(weakref.finalize(self, _close, client, address))
        try:
            client.wait_for_workers(1, timeout=_CONNECT_SECONDS)
        except (OutOfTime, OSError) as error:
            raise ExecutorError(f"{self._name}: has no workers; start one with 'dask worker'") from error
        return client

    def _address(self) -> Any:
        if (self._workers.cluster or _LOCAL) != _LOCAL:
            return self._workers.cluster
        return _distributed().LocalCluster(
            n_workers=self._workers.processes,
            threads_per_worker=self._workers.threads_here,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )

    @cached_property
    def _recipe(self) -> Recipe:
        """The recipe for workers like the first one, once all are found to be alike."""
        threads = self._workers.threads or min(self._client.nthreads().values())
        recipe = Recipe.of(self._subject, threads)
        self._check_versions()
        hosts = self._ask(describe, recipe.xml)
        own = describe(recipe.xml)
        kind = next(iter(hosts.values())).cpu
        expected = Host(own.model, own.ovpass, own.openvino, kind)
        for address, host in hosts.items():
            check_host(host, expected, f"worker {address}", mixed=self._workers.mixed)
        return recipe.on(expected, mixed=self._workers.mixed)

    def _check_versions(self) -> None:
        # A worker without ovpass cannot unpickle functions of ovpass; it always has those of Python.
        for address, version in self._ask(pydoc.locate, _VERSION).items():
            if version != __version__:
                found = "is not installed" if version is None else f"is {version}"
                raise ExecutorError(f"worker {address}: ovpass {found} there, and {__version__} here; install that one")

    def _ask(self, function: Any, *arguments: Any) -> dict[str, Any]:
        """What a function returns on each worker; the first error of one is raised.

        Raises:
            ExecutorError: if workers cannot be asked, or are lost.
        """
        answers = self._client.run(function, *arguments, on_error="return")
        for address, answer in answers.items():
            if isinstance(answer, OvpassError):
                raise type(answer)(f"worker {address}: {answer}")
            if isinstance(answer, Exception):
                raise ExecutorError(f"worker {address}: cannot be used: {last_line(answer)}")
        return dict(answers)


def _close(client: Any, address: Any) -> None:
    """Leave the cluster, and end it where it is our own."""
    with suppress(OutOfTime, OSError):
        client.close(timeout=_CLOSE_SECONDS)
        if not isinstance(address, str):
            address.close(timeout=_CLOSE_SECONDS)


def _silence() -> None:
    """Lost workers are expected here, and what Dask says about them is no message for users."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _distributed() -> Any:
    return extra_module("distributed", "cluster", "--cluster")
