"""The child process that runs one model: `python -m ovpass.benchmark.child SOCKET`.

It loads the model that the parent names, answers, and then measures on request until the parent closes the socket.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Protocol

import openvino as ov

from ovpass.benchmark.messages import Failure, Loaded, Measured, Sample
from ovpass.benchmark.subjects import Subject
from ovpass.benchmark.workload import Workload
from ovpass.errors import NoDeviceError, OvpassError
from ovpass.support.extras import extra_module
from ovpass.support.memory import peak_megabytes
from ovpass.verification.devices import require_device
from ovpass.verification.refusals import refusal

_REAL = ("CPU", "GPU", "NPU")
"""Devices of their own; others, as AUTO, choose among them."""


class _Runner(Protocol):
    versions: dict[str, str]
    effective: dict[str, str]
    seconds: float
    sweeps: bool
    requests: int

    def measure(self, sample: Sample) -> dict[str, float]: ...


def main() -> None:
    """Serve one benchmark."""
    with suppress(EOFError, ConnectionError):  # the benchmark is over, or gone
        _serve(Connection(int(sys.argv[1])))


def _serve(channel: Connection) -> None:
    subject, workload = channel.recv()
    try:
        name = _device_name(workload.device)
        runner = _load(subject, workload)
    except OvpassError as error:
        return channel.send(Failure(str(error), device=isinstance(error, NoDeviceError)))
    except RuntimeError as error:
        words = refusal(str(error), workload.device)
        return channel.send(Failure(f"does not compile on {workload.device}: {words}"))
    versions = {"openvino": ov.get_version(), **runner.versions}
    channel.send(
        Loaded(name, versions, runner.effective, runner.seconds, peak_megabytes(), runner.sweeps, runner.requests)
    )
    while True:
        sample = channel.recv()
        try:
            values = runner.measure(sample)
        except OvpassError as error:
            channel.send(Failure(str(error)))
        except RuntimeError as error:
            length = "" if sample.tokens is None else f" with {sample.tokens} tokens"
            guessed = (
                "; --inputs FILE.npz gives it other inputs" if not subject.generates and workload.inputs is None else ""
            )
            channel.send(Failure(f"does not run{length}: {refusal(str(error), workload.device)}{guessed}"))
        else:
            channel.send(Measured(values, peak_megabytes()))


def _load(subject: Subject, workload: Workload) -> _Runner:
    if subject.generates:
        extra_module("openvino_genai", "genai", "generating text")
        from ovpass.benchmark.generation import Generator  # noqa: PLC0415 - imports the extra

        return Generator(subject, workload)
    from ovpass.benchmark.inference import Inference  # noqa: PLC0415 - one or the other

    return Inference(subject, workload)


def _device_name(device: str) -> str:
    """The full name of a device.

    Raises:
        NoDeviceError: if there is none of that name.
    """
    core = ov.Core()
    kind = device.partition(":")[0].partition(".")[0]
    if kind not in _REAL:
        return device
    require_device(device, core)
    return str(core.get_property(device, "FULL_DEVICE_NAME"))


if __name__ == "__main__":
    main()
