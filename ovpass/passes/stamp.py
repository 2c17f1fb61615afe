"""Record version, settings and plan in the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ovpass.ir.metadata import Metadata, ModelMetadata
from ovpass.ir.note import read_note, write_note
from ovpass.planning.plan import Plan
from ovpass.version import __version__

if TYPE_CHECKING:
    import openvino as ov


@dataclass(frozen=True)
class Stamp:
    """Write version and plan under rt_info/ovpass."""

    plan: Plan
    name: ClassVar[str] = "stamp"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Add to what other passes have noted."""
        return self.edit(ModelMetadata(model))

    def edit(self, metadata: Metadata) -> Mapping[str, int]:
        """The same for a model in any form."""
        note = read_note(metadata) or {}
        write_note(metadata, {"version": __version__, "plan": self.plan.to_dict(), **note})
        return {"notes": 1}
