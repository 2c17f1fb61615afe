"""Target shapes that say 0 for a length, while NNCF runs a graph in pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.compression.calibration import Calibration
from ovpass.compression.compress import compress_source
from ovpass.compression.recipe import Recipe
from ovpass.conversion.convert import convert_source
from ovpass.conversion.source import Options
from ovpass.passes.broadcast_lengths import lengths_kept
from tests.cli.command import contents

GGUF = Path(__file__).parents[1] / "conversion" / "tiny-q4_1.gguf"


def repeated_heads(mode: str) -> ov.Model:
    """Keys [batch, 2, 1, tokens, 4] to [batch, 2, 3, tokens, 4] as GenAI's graphs say it: with 0 for the tokens."""
    keys = op.parameter(ov.PartialShape([-1, 2, 1, -1, 4]), np.float32, name="keys")
    batch = op.gather(op.shape_of(keys), np.array([0]), np.array(0))
    target = op.concat([batch, *(op.constant(np.array([n], np.int64)) for n in (2, 3, 0, 4))], 0)
    return ov.Model([op.result(op.broadcast(keys, target, broadcast_spec=mode))], [keys])


def test_every_length_is_kept_as_long_as_the_context_lasts() -> None:
    model = repeated_heads("BIDIRECTIONAL")
    keys = np.random.default_rng(0).standard_normal((1, 2, 1, 5, 4)).astype(np.float32)
    before = str(model.output(0).partial_shape)
    with lengths_kept(model):
        found = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(keys)[0]
        np.testing.assert_array_equal(found, np.repeat(keys, 3, axis=2))
    assert str(model.output(0).partial_shape) == before


def test_the_zeros_come_back_after_an_error_too() -> None:
    model = repeated_heads("BIDIRECTIONAL")
    before = str(model.output(0).partial_shape)
    with pytest.raises(RuntimeError, match="on purpose"), lengths_kept(model):
        raise RuntimeError("on purpose")
    assert str(model.output(0).partial_shape) == before


def test_an_empty_axis_of_a_plain_broadcast_stays_empty() -> None:
    target = op.concat([op.constant(np.array([n], np.int64)) for n in (2, 0)], 0)
    value = op.parameter(ov.PartialShape([1]), np.float32)
    model = ov.Model([op.result(op.broadcast(value, target))], [value])
    with lengths_kept(model):
        assert list(model.output(0).shape) == [2, 0]


@pytest.mark.slow
def test_gptq_takes_the_graph_that_genai_makes_of_a_gguf_file(tmp_path: Path) -> None:
    convert_source(GGUF, tmp_path / "float", Options(exact=True))
    recipe, calibration = Recipe("int4_sym", group_size=64, gptq=True), Calibration(samples=2, tokens=32)
    done = compress_source(tmp_path / "float", tmp_path / "out", recipe, calibration=calibration)
    assert sum(done.models[0].formats.values()) == 8
    compress_source(tmp_path / "float", tmp_path / "rounded", Recipe("int4_sym", group_size=64))
    made, rounded = (contents(tmp_path / name) for name in ("out", "rounded"))
    assert made["openvino_model.bin"] != rounded["openvino_model.bin"]
    # nothing of the preparation is left in the graph
    assert [shapes(tmp_path / name) for name in ("out", "rounded")] == [shapes(tmp_path / "float")] * 2


def shapes(folder: Path) -> list[str]:
    """What keys and values are broadcast to."""
    model = ov.Core().read_model(folder / "openvino_model.xml")
    found = [node for node in model.get_ordered_ops() if node.get_type_name() == "Broadcast"]
    assert found
    return [str(node.get_output_partial_shape(0)) for node in found]
