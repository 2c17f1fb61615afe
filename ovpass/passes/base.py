"""The interface of a pass: a frozen dataclass whose fields are its options, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from ovpass.ir.metadata import Metadata

if TYPE_CHECKING:
    import openvino as ov


class Pass(Protocol):
    """One rewriting of a model.

    `run` edits the model in place and returns how many of what it changed; all zero means nothing. Undoing is
    `Strip`'s work, which needs no more than the names of inserted nodes and the note in the model.
    """

    name: ClassVar[str]

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Edit `model`, leave it valid, and count the changes."""


@runtime_checkable
class MetadataPass(Pass, Protocol):
    """A pass that changes no node: it works on the text of an IR as well."""

    def edit(self, metadata: Metadata) -> Mapping[str, int]:
        """What `run` does, for a model in any form."""


@dataclass(frozen=True)
class PassResult:
    """The result of one pass: `counts` of changes by kind, and the wall time in seconds."""

    name: str
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether the pass changed the model."""
        return any(self.counts.values())
