"""verify tells which ops run on our kernels, on the CPU by numbers, on a GPU by the plugin's runtime model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ovpass
from ovpass.errors import ModelError
from ovpass.formats.vector_encoding import VectorEncoding
from ovpass.kernels import GpuVariant, write_gpu_kernels
from ovpass.targets import TARGETS
from ovpass.verification import kernels
from tests.kernels.models import saved, vector_model

pytestmark = pytest.mark.usefixtures("small_models_win")
DEVICES = [target.profiles[0].name for target in TARGETS.values() if target.profiles]
"""One of each generation; `scripts/kernel_devices.py` compiles for the others, too."""


def lowered(folder: Path, target: str) -> Path:
    source = saved(vector_model(VectorEncoding.of(4, [256]), k=128, widths=(128, 64), n=64), folder)
    return ovpass.transform(source, folder / "kernel.xml", ovpass.Settings(lowering="kernel", target=target)).output


@pytest.mark.slow
def test_the_cpu_runs_what_was_planned(tmp_path: Path) -> None:
    [report] = ovpass.verify(lowered(tmp_path, "cpu"), ovpass.Question(device="CPU")).values()
    assert report.ok
    assert [site.name for site in report.sites] == ["m0", "m1", "out"]


def test_wrong_numbers_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that decodes other weights than the kernel finds the one op that differs."""
    decoded = kernels._decoded
    monkeypatch.setattr(kernels, "_decoded", lambda node: decoded(node) * (1.05 if "out" in str(node) else 1))
    [report] = ovpass.verify(lowered(tmp_path, "cpu"), ovpass.Question(device="CPU")).values()
    assert [site.name for site in report.mismatches] == ["out"]


def test_commands_that_need_sites_say_what_the_model_is(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="ops of the kernel lowering; undo that first"):
        ovpass.transform(lowered(tmp_path, "cpu"), tmp_path / "again.xml", ovpass.Settings())


def test_loaded_models_compute_what_the_public_form_does(tmp_path: Path) -> None:
    path = lowered(tmp_path, "cpu")
    x = np.random.default_rng(0).standard_normal((1, 3, 128)).astype(np.float32)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    found, expected = (ovpass.load(each, properties=exact)([x])[0] for each in (path, tmp_path / "model.xml"))
    assert np.linalg.norm(found - expected) < 5e-3 * np.linalg.norm(expected)


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_the_gpu_plugin_runs_what_was_planned(device: str, tmp_path: Path) -> None:
    [report] = ovpass.verify(lowered(tmp_path, device), ovpass.Question(simulate=device, tokens=(1, 20))).values()
    assert report.ok
    assert {site.found for site in report.sites} == {site.planned for site in report.sites}


@pytest.mark.gpu
@pytest.mark.slow
def test_other_variants_compile_for_a_device(tmp_path: Path) -> None:
    config = write_gpu_kernels(tmp_path / "kernels", GpuVariant(slices=2, row_blocks=2, local_bytes=0, sub_group=16))
    question = ovpass.Question(simulate=DEVICES[0], properties={"CONFIG_FILE": str(config)})
    [report] = ovpass.verify(lowered(tmp_path, DEVICES[0]), question).values()
    assert report.ok
