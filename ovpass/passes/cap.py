"""Give one layer a smaller group size: a zero point caps it at the weight group size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import openvino as ov

from ovpass.passes.chains import ChainEditor, note_undo
from ovpass.passes.locate import locate


@dataclass(frozen=True)
class CapGroups:
    """Let the weights of each of `sites` cap the activation's group at the size given for it."""

    sites: Mapping[str, int]
    name: ClassVar[str] = "cap-groups"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Rewrite the decompression chains; the weights' values stay the same."""
        undo: dict[str, dict[str, Any]] = {}
        for site in locate(model, self.sites):
            editor = ChainEditor(site)
            editor.cap(self.sites[site.name])
            undo.update(editor.undo)
        note_undo(model, undo)
        return {"sites": len(self.sites)}
