"""Messages between the benchmark and its child processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TTFT, TPOT = "ttft_ms", "tpot_ms"
LATENCY, THROUGHPUT = "latency_ms", "inferences_per_second"


@dataclass(frozen=True)
class Loaded:
    """A model that is ready: `effective` are the properties that its compiled form reports.

    `sweeps` says whether its inputs have a length that can be chosen. `megabytes` is the peak memory up to now.
    """

    device_name: str
    versions: Mapping[str, str]
    effective: Mapping[str, str]
    seconds: float
    megabytes: float
    sweeps: bool = True
    requests: int = 1


@dataclass(frozen=True)
class Sample:
    """One measurement to make: `tokens` None takes the input as it is; each `index` has a prompt of its own."""

    tokens: int | None
    index: int


@dataclass(frozen=True)
class Measured:
    """What came out, by metric, and the peak memory of the process up to now."""

    values: Mapping[str, float]
    megabytes: float


@dataclass(frozen=True)
class Failure:
    """Why there is no answer, in one line; `device` says that there is no such device."""

    reason: str
    device: bool = False
