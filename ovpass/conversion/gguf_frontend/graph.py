"""From a GGUF file to a model for OpenVINO GenAI."""

from __future__ import annotations

from dataclasses import dataclass

import openvino as ov

from ovpass.conversion.gguf_frontend.corrections import has_window_everywhere, normalizes_experts
from ovpass.conversion.gguf_frontend.experts import expand_experts
from ovpass.conversion.gguf_frontend.frontend import read_graph
from ovpass.conversion.gguf_frontend.inputs import connect, keep_all_tokens, name_logits, new_inputs
from ovpass.conversion.gguf_frontend.nodes import parameter
from ovpass.conversion.gguf_frontend.rank import Trunk
from ovpass.conversion.gguf_frontend.state import attend_in_f32, make_stateful
from ovpass.conversion.gguf_metadata import GgufFile
from ovpass.errors import ModelError

_WINDOW = "self_kq_mask_swa"


@dataclass(frozen=True)
class Built:
    """A stateful model with GenAI's inputs, how many of its blocks have experts, and the window of those with one."""

    model: ov.Model
    experts: int
    window: int | None


def build_model(file: GgufFile) -> Built:
    """The model of a file, with the weights that the frontend gives it.

    Raises:
        ModelError: for an architecture that the frontend does not build, or whose state is no cache of keys and values.
    """
    model = read_graph(file.path)
    experts = expand_experts(model, normalize=normalizes_experts(model, file))
    inputs = new_inputs(model)
    sinks = make_stateful(model, inputs.batch)
    keep_all_tokens(model)
    Trunk(inputs).flatten(model)
    window = _window(file) if parameter(model, _WINDOW) else None
    connect(model, inputs, window, everywhere=has_window_everywhere(file))
    attend_in_f32(model)
    name_logits(model)
    try:
        model = ov.Model(model.get_results(), sinks, model.get_parameters(), file.architecture)
        model.validate_nodes_and_infer_types()
    except RuntimeError as error:
        raise ModelError(f"{file.path}: architecture {file.architecture!r} is not supported") from error
    return Built(model, experts, window)


def _window(file: GgufFile) -> int | None:
    found = file.value("attention.sliding_window")
    return None if found is None else int(found)
