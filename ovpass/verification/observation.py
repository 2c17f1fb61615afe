"""Requests to a plugin and its observations, as plain data that passes between processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ovpass.errors import VerifyError
from ovpass.targets import Target
from ovpass.targets.names import target_of

TRACED_PASS = "DynamicQuantizeFullyConnected"
TRACING = {"OV_ENABLE_SERIALIZE_TRACING": TRACED_PASS}
"""Environment in which the release build writes the graph after that pass to the working directory."""


@dataclass(frozen=True)
class Order:
    """One model to compile on `device`, a GPU, and what to look at.

    For each number in `tokens` the compiled model is made afresh and run once with inputs of that many tokens;
    with `shapes`, once with inputs of these shapes. `bisect` looks for the number up to which quantization is
    skipped. `traced` reads the graph as it is right after the quantization pass, bodies of If and Loop included.
    `queried` does the same without compiling any kernel: that takes a tenth of the time, and shows no kernels.
    With `complete` it is an error there if the plugin lacks an op; else what it has is looked at.
    """

    model: str
    config: Mapping[str, Any] = field(default_factory=dict)
    tokens: Sequence[int] = ()
    shapes: Mapping[str, Sequence[int]] | None = None
    bisect: bool = False
    traced: bool = False
    queried: bool = False
    complete: bool = False
    device: str = "GPU"


@dataclass(frozen=True)
class ObservedMatMul:
    """A FullyConnected or Gemm of the compiled model; `group_size` is None without a DynamicQuantize before it.

    `names` are the MatMuls of the original model that it computes, each by the path to it through bodies of If and
    Loop: several where the plugin fused them. `kernel` is the plugin's name of what runs it; "undef" for kernels of
    oneDNN until the model has run.
    """

    kind: str
    names: tuple[str, ...]
    activation_type: str
    group_size: int | None
    quantizer: str | None
    kernel: str = ""


@dataclass(frozen=True)
class TokenRun:
    """Whether each DynamicQuantize ran (True) or was skipped, by name, for inputs of `tokens` tokens.

    `tokens` is None where the shapes of the inputs were given. `kernels` names what each FullyConnected ran on.
    """

    tokens: int | None
    executed: Mapping[str, bool]
    kernels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Observation:
    """What the plugin made of an Order; `error` is what it said where it threw, `compiled` whether it got that far.

    `device_name` is what the device calls itself, `architecture` the version of its kind of GPU, `xmx` whether it has
    XMX, and `driver` the version of Intel's driver. Without XMX `in_kernel` tells for each MatMul whether its own
    kernel quantizes the activation. `kernels` are the ops that run on a kernel of ours.
    """

    error: str | None
    compiled: bool = True
    matmuls: tuple[ObservedMatMul, ...] = ()
    runs: tuple[TokenRun, ...] = ()
    threshold: int | None = None
    group_size_property: int | None = None
    device_name: str = ""
    xmx: bool = True
    architecture: str = ""
    driver: str = ""
    in_kernel: Mapping[str, bool] = field(default_factory=dict)
    kernels: tuple[str, ...] = ()

    @property
    def target(self) -> Target:
        """The target that the device belongs to."""
        return target_of(int(self.architecture.partition(".")[0] or 0), xmx=self.xmx)

    @property
    def groups(self) -> dict[str, int | None]:
        """The activation group size of each MatMul, None where its activation is not quantized.

        Raises:
            VerifyError: if the plugin threw.
        """
        if self.error is not None:
            raise VerifyError(self.error)
        return {name: matmul.group_size for matmul in self.matmuls for name in matmul.names}

    @property
    def quantizers(self) -> int:
        """How many DynamicQuantize nodes there are."""
        return len({matmul.quantizer for matmul in self.matmuls if matmul.quantizer is not None})


def observation_to_dict(seen: Observation) -> dict[str, Any]:
    """Plain data for JSON."""
    return asdict(seen)


def observation_from_dict(data: Mapping[str, Any]) -> Observation:
    """What `seen_to_dict` was given."""
    matmuls = tuple(ObservedMatMul(**{**entry, "names": tuple(entry["names"])}) for entry in data["matmuls"])
    runs = tuple(TokenRun(**entry) for entry in data["runs"])
    return Observation(**{**data, "matmuls": matmuls, "runs": runs, "kernels": tuple(data["kernels"])})
