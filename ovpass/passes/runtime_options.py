"""Write runtime options into the IR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from ovpass.ir.metadata import Metadata, ModelMetadata
from ovpass.ir.note import extend_note
from ovpass.ir.runtime_options import GROUP_SIZE, read_option, write_option

if TYPE_CHECKING:
    import openvino as ov

OPTIONS = "options"
"""The section of the note that holds the options' former values."""


@dataclass(frozen=True)
class RuntimeOptions:
    """Set DYNAMIC_QUANTIZATION_GROUP_SIZE to `group_size` (elements, 0 for off), and `others` by name."""

    group_size: int
    others: Mapping[str, str] = field(default_factory=dict)
    name: ClassVar[str] = "runtime-options"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Set the options, and note what they were."""
        return self.edit(ModelMetadata(model))

    def edit(self, metadata: Metadata) -> Mapping[str, int]:
        """The same for a model in any form."""
        wanted = {GROUP_SIZE: str(self.group_size), **self.others}
        before = {name: read_option(metadata, name) for name in wanted}
        changed = [name for name in wanted if before[name] != wanted[name]]
        if changed:
            extend_note(metadata, OPTIONS, {name: before[name] for name in changed})
        for name in changed:
            write_option(metadata, name, wanted[name])
        return {"options": len(changed)}
