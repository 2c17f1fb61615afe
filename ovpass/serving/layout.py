"""Write a model repository of OpenVINO Model Server: a folder for each model, and config.json beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovpass.ir.files import ModelSource, open_source
from ovpass.serving.config import config_text
from ovpass.serving.graph import FILE_NAME as GRAPH
from ovpass.serving.graph import graph_text
from ovpass.serving.servables import Servable, default_name, find_servables
from ovpass.serving.server import CONFIG, server_command
from ovpass.serving.serving import Serving, serving_of
from ovpass.support.atomic_output import place, publish, staging
from ovpass.transformation.carrying import carry_along, check_carried
from ovpass.transformation.destination import check_folder, refuse_foreign
from ovpass.transformation.run_notes import FILE_NAME as RUN_NOTES

_VERSION = "1"
_MODEL = "model.xml"


@dataclass(frozen=True)
class LaidOut:
    """A written repository."""

    output: Path
    servables: Sequence[Servable]
    serving: Serving

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "output": str(self.output),
            "servables": [
                {"name": servable.name, "kind": "llm" if servable.generates else "model"} for servable in self.servables
            ],
            "device": self.serving.device,
            "properties": dict(self.serving.run.properties),
            "environment": dict(self.serving.run.environment),
            "command": server_command(self.output, self.serving.run.environment),
        }


def lay_out(
    model: Path,
    output: Path,
    *,
    name: str | None = None,
    device: str | None = None,
    cache_size: int = 0,
    overwrite: bool = False,
) -> LaidOut:
    """Write the repository of a model file or folder. `device` is that of the plan if None; `cache_size` is in GB.

    Raises:
        ModelError: for a model that the server cannot run, and one that cannot be read.
        SettingsError: for a device or size that is not possible, and if neither plan nor user names a device.
        OutputError: for an output that is not free, or cannot be written.
    """
    source = open_source(model)
    check_folder(source.root, output, overwrite)
    serving = serving_of(source, device, cache_size)
    servables = find_servables(source, name or default_name(source))
    check_carried(source)
    with staging(output) as staged:
        made = staged / "repository"
        made.mkdir()
        for servable in servables:
            _write(servable, source, made / servable.name, serving)
        (made / CONFIG).write_text(config_text(servables, serving), encoding="utf-8")
        serving.run.write(made / RUN_NOTES)
        refuse_foreign(output, made)
        publish(made, output)
    return LaidOut(output, servables, serving)


def _write(servable: Servable, source: ModelSource, folder: Path, serving: Serving) -> None:
    folder.mkdir()
    if servable.ir is None:
        carry_along(source, (), folder, copy_weights=False)
        graph = graph_text(serving.device, serving.run.properties, serving.cache_size)
        (folder / GRAPH).write_text(graph, encoding="utf-8")
        return
    version = folder / _VERSION
    version.mkdir()
    place(servable.ir.xml, version / _MODEL, copy=True)
    place(servable.ir.bin, (version / _MODEL).with_suffix(".bin"), copy=False)
