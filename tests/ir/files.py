"""What tests of files share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import openvino as ov

from ovpass.ir.files import open_source
from ovpass.lowerings.pipeline import passes_for
from ovpass.lowerings.planner import make_plan
from ovpass.passes import PassManager
from ovpass.settings.settings import Settings
from ovpass.transformation.result import Transformed
from ovpass.transformation.transform import transform
from tests.passes.helpers import interface, structure


def saved(model: ov.Model, folder: Path) -> Path:
    """An .xml with its .bin."""
    ov.save_model(model, folder / "model.xml", compress_to_fp16=False)
    return folder / "model.xml"


def read(xml: Path) -> ov.Model:
    return open_source(xml).models[0].read()


def weights(xml: Path) -> bytes:
    return xml.with_suffix(".bin").read_bytes()


def same_file(one: Path, other: Path) -> bool:
    return one.stat().st_ino == other.stat().st_ino


def constants(xml: Path) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of every Constant, in the order of the text."""
    pattern = r'name="([^"]*)" type="Const"[^>]*>\s*<data [^>]*?offset="(\d+)" size="(\d+)"'
    for name, offset, size in re.findall(pattern, xml.read_text(encoding="utf-8")):
        yield name, int(offset), int(size)


def written_and_in_memory(xml: Path, output: Path, settings: Settings) -> tuple[Transformed, ov.Model]:
    """Transform the file, and the model in memory: node by node they must be the same."""
    model = read(xml)
    expected = PassManager(passes_for(make_plan(model, settings))).run(model).model
    done = transform(xml, output, settings)
    found = read(output)
    assert interface(found) == interface(expected)
    assert structure(found) == structure(expected)
    return done, found
