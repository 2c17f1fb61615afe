"""From a GGUF file to a model for OpenVINO GenAI."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import openvino as ov

from ovpass.conversion.gguf_exact import write_f16
from ovpass.conversion.gguf_frontend.corrections import has_window_everywhere, normalizes_experts
from ovpass.conversion.gguf_frontend.experts import expand_experts
from ovpass.conversion.gguf_frontend.frontend import read_graph
from ovpass.conversion.gguf_frontend.inputs import connect, keep_all_tokens, name_logits, new_inputs
from ovpass.conversion.gguf_frontend.nodes import parameter
from ovpass.conversion.gguf_frontend.rank import Trunk
from ovpass.conversion.gguf_frontend.state import attend_in_f32, make_stateful
from ovpass.conversion.gguf_metadata import GgufFile
from ovpass.errors import ModelError
from ovpass.support.formatting import last_line

_KNOWN = {
    "F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "MXFP4",
}  # fmt: skip
"""Types of matrices that the frontend reads (measured, OpenVINO 2026.4.1)."""
_WINDOW = "self_kq_mask_swa"


@dataclass(frozen=True)
class Built:
    """A stateful model with GenAI's inputs, how many of its blocks have experts, and the window of those with one."""

    model: ov.Model
    experts: int
    window: int | None


def build_model(file: GgufFile, scratch: Path) -> Built:
    """The model of a file, with the weights that the frontend gives it; files may be written to the folder `scratch`.

    Raises:
        ModelError: for an architecture that the frontend does not build, or whose state is no cache of keys and values.
    """
    model = read_graph(_readable(file, scratch))
    try:
        return _rewritten(model, file)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{file.path}: architecture {file.architecture!r} is not supported: {last_line(error)}"
        ) from error


def _rewritten(model: ov.Model, file: GgufFile) -> Built:
    experts = expand_experts(model, normalize=normalizes_experts(model, file))
    inputs = new_inputs(model)
    sinks = make_stateful(model, inputs.batch)
    keep_all_tokens(model)
    Trunk(inputs).flatten(model)
    window = _window(file) if parameter(model, _WINDOW) else None
    connect(model, inputs, window, everywhere=has_window_everywhere(file))
    attend_in_f32(model)
    name_logits(model)
    model = ov.Model(model.get_results(), sinks, model.get_parameters(), file.architecture)
    model.validate_nodes_and_infer_types()
    return Built(model, experts, window)


def _readable(file: GgufFile, scratch: Path) -> Path:
    """The file, or one in f16 where the frontend does not know all of its types."""
    if set(file.types) <= _KNOWN:
        return file.path
    write_f16(file, scratch / "f16.gguf", lambda _: None)
    return scratch / "f16.gguf"


def _window(file: GgufFile) -> int | None:
    found = file.value("attention.sliding_window")
    return None if found is None else int(found)
