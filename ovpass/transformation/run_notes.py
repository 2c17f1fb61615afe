"""Write the environment variables and properties that a model needs to a file beside it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovpass.errors import PlanError
from ovpass.planning.plan import Plan
from ovpass.planning.run_settings import checked_environment, checked_properties

FILE_NAME = "ovpass_run.env"


@dataclass(frozen=True)
class RunNotes:
    """Environment variables for the process, and properties for compile_model.

    Raises:
        PlanError: for a variable or property that is not known.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """A plan built in memory is checked as one from a file is: a shell reads what is written."""
        try:
            checked_environment(self.environment)
            checked_properties(self.properties)
        except ValueError as error:
            raise PlanError(str(error)) from error

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
        lines += [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        lines += [f"# property for compile_model: {name}={value}" for name, value in self.properties.items()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def notes_beside(xml: Path) -> Path:
    """Where the notes of a single .xml go."""
    return xml.with_name(f"{xml.stem}.{FILE_NAME}")
