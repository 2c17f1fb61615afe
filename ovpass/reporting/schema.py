"""The schema of the JSON that the report reads. Other keys are ignored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NewType

Group = NewType("Group", str)
"""A group size as people write it; verify also says "not quantized" and "otherwise"."""


@dataclass(frozen=True)
class Model:
    """A model that a run names; `sites` and `weights` as in `ovpass.transformation.identity.Identity`."""

    path: str
    sites: str | None
    weights: str | None
    changed: bool


@dataclass(frozen=True)
class Machine:
    """Where it ran."""

    cpu: str
    cpus: int | None
    system: str
    python: str


@dataclass(frozen=True)
class Input:
    """A file that a command read, told again by its hash."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Header:
    """How a command was called. `files` are texts of settings and plans by the path that was typed."""

    command: str
    arguments: tuple[str, ...]
    date: str
    ovpass: str
    openvino: str
    machine: Machine
    models: tuple[Model, ...]
    files: dict[str, str]
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class InspectedSite:
    """A site and whether the target would quantize for it; `asked` is what the file it was converted from asked for."""

    name: str
    kind: str
    layer: int | None
    k: int
    n: int
    weight_type: str
    weight_group_size: int | None
    symmetric: bool
    eligible: bool
    reason: str
    group_size: Group | None
    submodel: str = ""
    asked: str | None = None


@dataclass(frozen=True)
class InspectRun:
    """What inspect prints."""

    target: str
    group_size: Group
    sites: tuple[InspectedSite, ...]


@dataclass(frozen=True)
class DecidedSite:
    """One decision of a plan."""

    name: str
    action: str
    reason: str
    kind: str
    layer: int | None
    weights: str
    group_size: Group | None
    submodel: str = ""
    method: str | None = None
    threshold: int | None = None
    axis: int | None = None
    symmetric: bool | None = None


@dataclass(frozen=True)
class PlanRun:
    """What plan and apply print; the settings are those of all models of a folder, `output` is apply's."""

    settings: dict[str, Any]
    decisions: tuple[DecidedSite, ...]
    run_environment: dict[str, str] = field(default_factory=dict)
    run_properties: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    output: str | None = None


@dataclass(frozen=True)
class VerifiedSite:
    """The group sizes planned and found."""

    name: str
    planned: Group
    found: Group
    submodel: str = ""


@dataclass(frozen=True)
class Mismatch:
    """A site that differs from its plan, and why it was planned so."""

    name: str
    planned: Group
    found: Group
    reason: str
    submodel: str = ""


@dataclass(frozen=True)
class TokensRun:
    """Whether quantization ran for inputs of so many tokens."""

    tokens: int
    executed: bool
    submodel: str = ""


@dataclass(frozen=True)
class VerifyRun:
    """What verify prints of one device; `error` is why it could not be checked."""

    ok: bool
    device: str
    simulated: str | None
    sites: tuple[VerifiedSite, ...]
    dynamic_quantize_nodes: int
    mismatches: tuple[Mismatch, ...]
    thresholds: tuple[TokensRun, ...] = ()
    threshold: int | None = None
    notes: tuple[str, ...] = ()
    error: str = ""

    @property
    def name(self) -> str:
        """The device, and whether it was simulated."""
        return f"{self.simulated}, simulated" if self.simulated else self.device
