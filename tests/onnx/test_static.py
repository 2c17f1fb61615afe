"""Models that quantize their activations with ranges found beforehand: ONNX Runtime's QDQ and NNCF's `quantize`."""

from __future__ import annotations

from pathlib import Path

import nncf
import openvino as ov
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from ovpass.lowerings.planner import make_plan
from ovpass.settings.settings import Settings
from ovpass.sites import find_compressed_matmuls
from ovpass.verification import Question, verify
from tests.onnx.models import converted, feeds
from tests.passes.helpers import outputs, same, transformed
from tests.verification.command import saved


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Two sentences, once."""

    def __init__(self) -> None:
        self._left = [feeds()]

    def get_next(self) -> object:
        return self._left.pop() if self._left else None


def by_onnx_runtime(source: Path, folder: Path) -> Path:
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(
        source,
        folder / "static.onnx",
        Calibration(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        **kinds,
    )
    return converted(folder / "static.onnx", folder / "out")


def by_nncf(source: Path, folder: Path) -> Path:
    model = nncf.quantize(ov.convert_model(source), nncf.Dataset([feeds()]), subset_size=1)
    return saved(model, folder)


@pytest.fixture(scope="module", params=[by_onnx_runtime, by_nncf])
def static(request: pytest.FixtureRequest, float_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder with 8-bit weights and activations, as an IR."""
    xml: Path = request.param(float_file, tmp_path_factory.mktemp("static"))
    return xml


@pytest.mark.slow
def test_the_cpu_does_not_quantize_them_again(static: Path) -> None:
    model = ov.Core().read_model(static)
    assert len(find_compressed_matmuls(model)) == 12
    assert make_plan(model, Settings(target="cpu", group_size=32)).counts()["skip"] == 12
    checks = verify(static, Question(device="CPU", properties={"INFERENCE_PRECISION_HINT": "f32"}))[""].sites
    assert [(check.planned, check.found) for check in checks] == [(None, None)] * 12


@pytest.mark.usefixtures("simulated_gpu")
def test_the_gpu_does_what_was_expected(static: Path) -> None:
    report = verify(static, Question(simulate="arc-a770"))[""]
    assert report.ok
    assert sum(check.found is None for check in report.sites) >= 10


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"lowering": "int8"}, {"lowering": "emulate", "group_size": 32}])
def test_lowerings_leave_them_alone(static: Path, settings: dict[str, object]) -> None:
    model = ov.Core().read_model(static)
    changed = transformed(model, target="cpu", **settings)
    assert same(outputs(changed, feeds()), outputs(model, feeds()))
