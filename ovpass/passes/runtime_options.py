"""Write the model's group size into the IR, where CPU and GPU plugins obey it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    """Set DYNAMIC_QUANTIZATION_GROUP_SIZE to `group_size`: elements, 0 for off."""

    group_size: int
    name: ClassVar[str] = "runtime-options"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Set the option, and note what it was."""
        return self.edit(ModelMetadata(model))

    def edit(self, metadata: Metadata) -> Mapping[str, int]:
        """The same for a model in any form."""
        before, after = read_option(metadata, GROUP_SIZE), str(self.group_size)
        if before == after:
            return {"options": 0}
        extend_note(metadata, OPTIONS, {GROUP_SIZE: before})
        write_option(metadata, GROUP_SIZE, after)
        return {"options": 1}
