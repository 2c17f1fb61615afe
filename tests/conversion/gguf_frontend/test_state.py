"""States that are no caches of keys and values are refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.conversion.gguf_frontend.graph import build_model
from ovpass.conversion.gguf_metadata import GgufFile
from ovpass.errors import ModelError


def test_a_state_that_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those of recurrent models are."""
    state = op.parameter([1, -1, 2, 4], np.float32, name="cache_r_l0")
    model = ov.Model([op.result(op.tanh(state), name="cache_r_l0")], [state], "recurrent")
    monkeypatch.setattr("ovpass.conversion.gguf_frontend.graph.read_graph", lambda _: model)
    file = GgufFile(Path("in.gguf"), "recurrent", {}, True, SimpleNamespace(fields={}))
    with pytest.raises(ModelError, match=r"in\.gguf: architecture 'recurrent' .* cache_r_l0 is no cache of keys"):
        build_model(file, tmp_path)
