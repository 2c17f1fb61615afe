"""Checkpoints of models/checkpoints, which quantization tools made themselves, through the real exporter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from ovpass.ir.constant_folding import evaluate
from ovpass.sites import find_compressed_matmuls
from tests.cli.command import MODELS, CommandLine
from tests.exporters.running import logits

CHECKPOINTS = sorted(path for path in (MODELS / "checkpoints").iterdir() if path.is_dir())
IDS = np.array([[1, 5, 9, 40, 63, 2, 17, 30]])
ROWS, LAYERS = 8, 7
IN_F16 = ("hqq-2-axis0",)
"""What no format holds; the logits tell whether the weights are right."""


@pytest.mark.parametrize("source", CHECKPOINTS, ids=lambda path: path.name)
def test_the_model_is_what_the_tool_dequantizes(ovpass: CommandLine, tmp_path: Path, source: Path) -> None:
    found = ovpass.succeed("convert", source, "-o", tmp_path / "out", "--json").json
    expected = np.load(f"{source}.npz")
    sites = find_compressed_matmuls(ov.Core().read_model(tmp_path / "out/openvino_model.xml"))
    assert found["models"][0]["sites"] == len(sites) == (0 if source.name in IN_F16 else LAYERS)
    for site in sites:
        module = site.name.removeprefix("__module.").partition("/")[0]
        own = evaluate(site.matmul.input_value(site.weights_input))
        np.testing.assert_allclose(own[::ROWS], expected[module], rtol=1e-3)
    # sums of f32 in another order, and embeddings that were bf16
    np.testing.assert_allclose(logits(tmp_path / "out", IDS), expected["logits"], rtol=1e-3, atol=1e-4)
