"""Write the environment variables and properties that a model needs to a file beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovpass.planning.plan import Plan

FILE_NAME = "ovpass_run.env"


@dataclass(frozen=True)
class RunNotes:
    """Environment variables for the process, and properties for compile_model."""

    environment: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, plans: Iterable[Plan]) -> RunNotes:
        """What the plans need, taken together."""
        environment: dict[str, str] = {}
        properties: dict[str, str] = {}
        for plan in plans:
            environment.update(plan.run_environment)
            properties.update(plan.run_properties)
        return cls(environment, properties)

    def write(self, path: Path) -> None:
        """Write a file that a shell can source; none where nothing is needed."""
        if not self.environment and not self.properties:
            return
        lines = ["# How to run this model (written by ovpass)."]
        lines += [f"export {name}={value}" for name, value in self.environment.items()]
        lines += [f"# property for compile_model: {name}={value}" for name, value in self.properties.items()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def notes_beside(xml: Path) -> Path:
    """Where the notes of a single .xml go."""
    return xml.with_name(f"{xml.stem}.{FILE_NAME}")
