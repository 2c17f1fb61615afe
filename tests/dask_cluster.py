"""A cluster of Dask in processes of this machine, for tests that share it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.missing import lacking

try:
    import distributed
except ImportError:
    distributed = None  # type: ignore[assignment]


def require_dask() -> None:
    """Skip the test without Dask distributed, or fail it under CI."""
    if distributed is None:
        lacking("Dask distributed")


class Dask:
    """A scheduler and two workers of one thread, each a process that can be killed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ready = folder, folder / "scheduler.json"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.address = ""
        self.options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder))

    def start(self) -> None:
        self._run("scheduler", "scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.ready))
        self.restore()

    def restore(self) -> None:
        """Start the workers that are not there."""
        for name in ("first", "second"):
            if name not in self.processes or self.processes[name].poll() is not None:
                self._run(name, "worker", "--scheduler-file", str(self.ready), *self.options)
        connect: Any = distributed.Client
        with connect(scheduler_file=str(self.ready), timeout=20, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=20)
            self.address = client.scheduler.address

    @contextmanager
    def another(self, code: Path) -> Iterator[None]:
        """A third worker for a while, which finds the modules in the folder `code` first."""
        connect: Any = distributed.Client
        with connect(self.address, timeout=20, set_as_default=False) as client:
            self._run("another", "worker", self.address, *self.options, PYTHONPATH=str(code))
            try:
                client.wait_for_workers(3, timeout=20)
                yield
            finally:
                self.processes["another"].kill()
                self.processes.pop("another").wait()

    def _run(self, name: str, *arguments: str, **variables: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]],
                cwd=self.folder,
                env={**os.environ, **variables},
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
