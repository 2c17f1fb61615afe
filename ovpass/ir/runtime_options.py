"""A model's own runtime options: what the IR asks of any plugin that compiles it."""

from __future__ import annotations

import openvino as ov

GROUP_SIZE = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
LARGEST_GROUP_SIZE = "GPU_DYNAMIC_QUANTIZATION_GROUP_SIZE_MAX"
_SECTION = "runtime_options"


def read_option(model: ov.Model, name: str) -> str | None:
    """The option's text, None where the IR does not have it."""
    path = [_SECTION, name]
    return str(model.get_rt_info(path).astype(str)) if model.has_rt_info(path) else None


def read_group_size(model: ov.Model, name: str = GROUP_SIZE) -> int | None:
    """A group size among the options; None where it is absent or no number."""
    text = read_option(model, name)
    return int(text) if text is not None and text.strip().isdigit() else None


def write_option(model: ov.Model, name: str, value: str) -> None:
    """Set the option; it is saved with the model."""
    model.set_rt_info(value, [_SECTION, name])


def remove_option(model: ov.Model, name: str) -> None:
    """Take the option out, and the whole section when nothing else is in it."""
    remaining = {key: value for key, value in model.get_rt_info([_SECTION]).value.items() if key != name}
    del model.rt_info[_SECTION]
    for key, value in remaining.items():
        write_option(model, key, str(value))
