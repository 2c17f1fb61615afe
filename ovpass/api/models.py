"""Models as programs have them: in memory, or as a path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import openvino as ov

from ovpass.ir.files import IrFile
from ovpass.ir.writer import write_anew
from ovpass.sites.model_holder import ModelHolder, held_model

InMemory: TypeAlias = ov.Model | ModelHolder
Source: TypeAlias = Path | str | InMemory
"""A path, or a model in memory: an ov.Model or a model of optimum-intel."""

_XML = "openvino_model.xml"


def name_of(model: InMemory) -> str:
    """The friendly name of the graph, as it can be that of a folder."""
    return re.sub(r"\W+", "-", held_model(model).get_friendly_name()).strip("-") or "model"


@contextmanager
def on_disk(model: Source) -> Iterator[Path]:
    """The path of a model; one in memory is in a temporary folder meanwhile, with all its weights.

    Raises:
        ModelError: if `model` is none.
    """
    if isinstance(model, (str, Path)):
        yield Path(model)
        return
    with TemporaryDirectory(prefix="ovpass-") as folder:
        place = Path(folder) / name_of(model)
        place.mkdir()
        yield write_anew(held_model(model), IrFile(place / _XML), place).xml
