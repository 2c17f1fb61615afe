"""Note in the model what was done to it: version, settings and plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import openvino as ov

from ovpass.ir.note import read_note, write_note
from ovpass.plan import Plan
from ovpass.version import __version__


@dataclass(frozen=True)
class Stamp:
    """Write version and plan under rt_info/ovpass."""

    plan: Plan
    name: ClassVar[str] = "stamp"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        """Add to what other passes have noted."""
        note = read_note(model) or {}
        write_note(model, {"version": __version__, "plan": self.plan.to_dict(), **note})
        return {"notes": 1}
