"""Write the .xml and .bin of a changed model, and link or extend the original weights.

OpenVINO's serializer writes every constant. Here it sees the new ones only: placeholders stand for unchanged constants
while the .xml is written, which then points to their place in the original .bin. A .bin without additions is
hard-linked. Otherwise new constants go to its end.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import openvino as ov
from openvino import opset13 as op

from ovpass.ir.constants import ConstantLocation, ConstantTable
from ovpass.ir.files import IrFile
from ovpass.ir.original_weights import OriginalWeights
from ovpass.support.atomic_output import place

_PLACEHOLDER = "ovpass-placeholder:"
_STUB = re.compile(
    rf'name="{_PLACEHOLDER}(\d+):([^"]*)" type="Parameter" version="[^"]*">\s*'
    r'<data shape="([^"]*)" element_type="([^"]*)" />'
)
_WRITTEN = re.compile(r'(name="([^"]*)" type="Const" version="[^"]*">\s*<data [^>]*?)offset="(\d+)" size="(\d+)"')
_ALIGNMENT = 64
_SHAPE_BYTES = 1024


@dataclass
class _NewBytes:
    """Constants to append, each content once; offsets count from the start of the .bin."""

    chunks: list[bytes]
    end: int
    known: dict[bytes, int]

    @classmethod
    def after(cls, size: int) -> _NewBytes:
        return cls([], size, {})

    def add(self, content: bytes) -> int:
        if content not in self.known:
            padding = -self.end % _ALIGNMENT
            self.chunks.append(bytes(padding) + content)
            self.known[content] = self.end + padding
            self.end += padding + len(content)
        return self.known[content]


@dataclass(frozen=True)
class Written:
    """Where a model was written, and what became of its weights: "linked", "copied", "extended" or "rewritten"."""

    xml: Path
    weights: Path
    how: str


def write_anew(model: ov.Model, source: IrFile, folder: Path) -> Written:
    """Write `model` and all its weights into `folder` under the source's file names.

    Raises:
        OSError: if not everything could be written.
    """
    xml, weights = folder / source.xml.name, folder / source.bin.name
    with _stream_errors():
        ov.save_model(model, xml, compress_to_fp16=False)
    _check_complete(xml.read_text(encoding="utf-8"), weights)
    return Written(xml, weights, "rewritten")


def write_beside_weights(
    model: ov.Model,
    source: IrFile,
    folder: Path,
    *,
    copy_weights: bool,
    original: OriginalWeights | None = None,
) -> Written:
    """Write `model`, which was read from `source` and changed, into `folder` under the source's file names.

    `model` is used up: its constants are placeholders afterwards. With `earlier`, constants that the source's .xml
    no longer mentions are found again, and what was added to the .bin since is cut off where nothing needs it.

    Raises:
        OSError: if not everything could be written.
    """
    table = ConstantTable(source.xml, source.bin)
    for name, location in (original.slots if original else {}).items():
        table.add(name, location)
    slots = _replace_known(model, table)
    xml, weights, scratch = folder / source.xml.name, folder / source.bin.name, folder / "new-constants"
    with _stream_errors():
        ov.serialize(model, xml, scratch)
    written = scratch.read_bytes()
    scratch.unlink()
    size = source.bin.stat().st_size
    new = _NewBytes.after(size)
    text = _WRITTEN.sub(lambda match: _relocated(match, written, table, new), xml.read_text(encoding="utf-8"))
    text = _STUB.sub(lambda match: _constant_layer(match, slots), text)
    xml.write_text(text, encoding="utf-8")
    if new.chunks:
        _append(source.bin, weights, new)
        how = "extended"
    elif original is not None and _used(text) <= original.size < size:
        _copy_head(source.bin, weights, original.size)
        how = "copied"
    else:
        how = place(source.bin, weights, copy=copy_weights)
    _check_complete(text, weights)
    return Written(xml, weights, how)


def original_constants(source: IrFile, names: Collection[str]) -> dict[str, ConstantLocation]:
    """Where the constants of those names lie in the source's .bin."""
    table = ConstantTable(source.xml, source.bin) if names else None
    return {name: location for name in names if table and (location := table.unique(name)) is not None}


def _used(text: str) -> int:
    """How far into the .bin the constants of an .xml reach."""
    return max((int(offset) + int(size) for _, _, offset, size in _WRITTEN.findall(text)), default=0)


@contextmanager
def _stream_errors() -> Iterator[None]:
    """OpenVINO's serializer tells of some failures to write by a RuntimeError without a reason."""
    try:
        yield
    except RuntimeError as error:
        if "iostream" not in str(error) and "open" not in str(error).lower():
            raise
        raise OSError(errno.EIO, "OpenVINO could not write it; is the disk full?") from error


def _check_complete(text: str, weights: Path) -> None:
    """OpenVINO's serializer does not tell when the disk is full; its output does."""
    if not text.rstrip().endswith("</net>") or _used(text) > weights.stat().st_size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _replace_known(model: ov.Model, table: ConstantTable) -> list[ConstantLocation]:
    """Put a placeholder for every large constant of the main graph that lies unchanged in the source's .bin.

    Small ones stay: shapes are inferred from their values.
    """
    slots: list[ConstantLocation] = []
    placeholders = []
    for node in model.get_ops():
        if node.get_type_name() != "Constant" or node.get_byte_size() <= _SHAPE_BYTES:
            continue
        location = table.unique(node.get_friendly_name())
        output = node.output(0)
        if location is None or not _same(output, location):
            continue
        stub = op.parameter(output.get_partial_shape(), output.get_element_type())
        stub.set_friendly_name(f"{_PLACEHOLDER}{len(slots)}:{node.get_friendly_name()}")
        stub.output(0).set_names(output.get_names())
        for key, value in node.get_rt_info().items():
            stub.set_rt_info(value, key)
        for consumer in output.get_target_inputs():
            consumer.replace_source_output(stub.output(0))
        slots.append(location)
        placeholders.append(stub)
    model.add_parameters(placeholders)
    return slots


def _same(output: ov.Output, location: ConstantLocation) -> bool:
    return (
        str(output.get_element_type().to_string()) == location.element_type
        and tuple(output.get_shape()) == location.shape
    )


def _constant_layer(match: re.Match[str], slots: list[ConstantLocation]) -> str:
    location = slots[int(match[1])]
    return (
        f'name="{match[2]}" type="Const" version="opset1">\n\t\t\t'
        f'<data element_type="{match[4]}" shape="{match[3]}" offset="{location.offset}" size="{location.size}" />'
    )


def _relocated(match: re.Match[str], written: bytes, table: ConstantTable, new: _NewBytes) -> str:
    offset, size = int(match[3]), int(match[4])
    content = written[offset : offset + size]
    place_of_it = table.holding(unescape(match[2]), content)
    if place_of_it is None:
        place_of_it = new.add(content)
    return f'{match[1]}offset="{place_of_it}" size="{size}"'


def _append(source: Path, destination: Path, new: _NewBytes) -> None:
    shutil.copyfile(source, destination)
    with destination.open("ab") as stream:
        stream.writelines(new.chunks)


def _copy_head(source: Path, destination: Path, size: int) -> None:
    shutil.copyfile(source, destination)
    os.truncate(destination, size)
