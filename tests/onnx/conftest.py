"""The committed ONNX files as IR, and the model in floating point."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from ovpass.targets.reference_arithmetic import Array
from tests.onnx.models import RECIPE, Convert, by_onnx_runtime, converted, path_of


@pytest.fixture(scope="session")
def ir(tmp_path_factory: pytest.TempPathFactory) -> Convert:
    """The IR of a committed file, converted once; no test changes it."""
    folder = tmp_path_factory.mktemp("onnx")
    return cache(lambda name: converted(path_of(name), folder / name))


@pytest.fixture(scope="session")
def float_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that all files were quantized from."""
    path = tmp_path_factory.mktemp("float") / "float.onnx"
    RECIPE["float_encoder"](path)
    return path


@pytest.fixture(scope="session")
def exact(float_file: Path) -> list[Array]:
    """What it computes."""
    return by_onnx_runtime(float_file)
