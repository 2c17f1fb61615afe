"""A model's own runtime options: what the IR asks of any plugin that compiles it."""

from __future__ import annotations

from ovpass.ir.metadata import Metadata

GROUP_SIZE = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
LARGEST_GROUP_SIZE = "GPU_DYNAMIC_QUANTIZATION_GROUP_SIZE_MAX"
_SECTION = "runtime_options"


def read_option(metadata: Metadata, name: str) -> str | None:
    """The option's text, None where the IR does not have it."""
    return metadata.get(_SECTION, name)


def read_group_size(metadata: Metadata, name: str = GROUP_SIZE) -> int | None:
    """A group size among the options; None where it is absent or no number."""
    text = read_option(metadata, name)
    return int(text) if text is not None and text.strip().isdigit() else None


def write_option(metadata: Metadata, name: str, value: str) -> None:
    """Set the option; it is saved with the model."""
    metadata.set(_SECTION, name, value)


def remove_option(metadata: Metadata, name: str) -> None:
    """Take the option out."""
    metadata.remove(_SECTION, name)
