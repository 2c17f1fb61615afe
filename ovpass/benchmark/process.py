"""Start one child process for each model, so that memory and crashes stay separate."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, Any

from ovpass.benchmark.messages import Failure, Loaded, Measured, Sample
from ovpass.benchmark.subjects import Subject
from ovpass.benchmark.workload import Workload
from ovpass.errors import NoDeviceError, VerifyError
from ovpass.support.processes import end, how_it_ended, log_start, own_modules, python_module


class ModelProcess:
    """Asks for one thing at a time, and waits for the answer.

    Raises, from every method:
        VerifyError: if the model does not compile or run, or its process crashes or takes too long.
        NoDeviceError: if the device is missing.
    """

    def __init__(
        self, subject: Subject, workload: Workload, child: subprocess.Popen[bytes], channel: Connection, log: IO[bytes]
    ) -> None:
        self._subject, self._workload = subject, workload
        self._child, self._channel, self._log = child, channel, log

    def load(self) -> Loaded:
        """Load the model; to be called first."""
        loaded: Loaded = self._ask((self._subject, self._workload))
        return loaded

    def measure(self, sample: Sample) -> Measured:
        """Make one measurement."""
        measured: Measured = self._ask(sample)
        return measured

    def _ask(self, question: object) -> Any:
        try:
            self._channel.send(question)
            if not self._channel.poll(self._workload.timeout):
                raise VerifyError(f"{self._subject.title}: took longer than {self._workload.timeout:g} s")
            answer = self._channel.recv()
        except (EOFError, OSError):
            raise VerifyError(f"{self._subject.title}: its process {self._ending()}") from None
        if isinstance(answer, Failure):
            kind = NoDeviceError if answer.device else VerifyError
            raise kind(f"{self._subject.title}: {answer.reason}")
        return answer

    def _ending(self) -> str:
        code = self._child.wait()
        self._log.seek(0)
        return how_it_ended(code, self._log.read())


@contextmanager
def running(subject: Subject, workload: Workload) -> Iterator[ModelProcess]:
    """A process for the subject, with its environment variables; it is gone in the end, whatever happens."""
    ours, theirs = Pipe()
    with ours, tempfile.TemporaryFile() as log:
        with theirs:
            command = python_module("ovpass.benchmark.child", str(theirs.fileno()))
            log_start(command, subject.environment)
            child = subprocess.Popen(
                command,
                env={**os.environ, **subject.environment, **own_modules()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # an interrupt from the keyboard is for the benchmark, which ends it
            )
        try:
            yield ModelProcess(subject, workload, child, ours, log)
        finally:
            end(child)
