"""Read and write the runtime options of an IR."""

from __future__ import annotations

import re

from ovpass.ir.metadata import Metadata

GROUP_SIZE = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
LARGEST_GROUP_SIZE = "GPU_DYNAMIC_QUANTIZATION_GROUP_SIZE_MAX"
_SECTION = "runtime_options"
_NUMBER = re.compile(r"\s*([+-]?\d+)")
_LIMIT = 2**64
_MOST_DIGITS = 1000


def read_option(metadata: Metadata, name: str) -> str | None:
    """The option's text, None where the IR does not have it."""
    return metadata.get(_SECTION, name)


def read_group_size(metadata: Metadata, name: str = GROUP_SIZE) -> int | None:
    """A group size among the options; None where it is absent or no number."""
    text = read_option(metadata, name)
    return None if text is None else as_group_size(text)


def as_group_size(text: str) -> int | None:
    """What OpenVINO makes of the text, as C's strtoul does: leading digits count, -1 is the largest number.

    None where compile_model would throw (measured).
    """
    if not text:
        return 0
    found = _NUMBER.match(text)
    if found is None or len(found[1]) > _MOST_DIGITS or abs(int(found[1])) >= _LIMIT:
        return None
    return int(found[1]) % _LIMIT


def write_option(metadata: Metadata, name: str, value: str) -> None:
    """Set the option; it is saved with the model."""
    metadata.set(_SECTION, name, value)


def remove_option(metadata: Metadata, name: str) -> None:
    """Take the option out."""
    metadata.remove(_SECTION, name)
