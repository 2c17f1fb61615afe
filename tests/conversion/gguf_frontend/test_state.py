"""States that are no caches of keys and values are refused."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.conversion.gguf_frontend.state import make_stateful


def test_a_state_that_is_overwritten() -> None:
    """As those of recurrent models are."""
    state = op.parameter([1, -1, 2, 4], np.float32, name="cache_r_l0")
    written = op.result(op.tanh(state), name="cache_r_l0")
    batch = op.constant(np.array([1], np.int64)).output(0)
    with pytest.raises(ValueError, match="its state cache_r_l0 is no cache of keys or values"):
        make_stateful(ov.Model([written], [state], "recurrent"), batch)
