"""Vector quantization from files to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from ovpass.compression.calibration import Calibration
from ovpass.compression.compress import Compressed, compress_source
from ovpass.compression.recipe import Recipe
from ovpass.errors import OvpassError, SettingsError
from ovpass.formats.vector_chain import VectorChain
from ovpass.formats.vector_encoding import VectorEncoding
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.verification.inputs import input_specs, make_inputs
from tests.builders import linear_model
from tests.passes.helpers import outputs

BODY = 7
FEW = Calibration(samples=4, tokens=32)
SMALL = Recipe("vq2", vector_length=2, entries=(64,))


def sites_of(folder: Path) -> list[CompressedMatMul]:
    return find_compressed_matmuls(ov.Core().read_model(folder / "openvino_model.xml"))


@pytest.fixture(scope="module")
def done(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    """With nearly as many entries as there are vectors."""
    recipe = Recipe("vq4", vector_length=2, entries=(256, 64))
    return compress_source(llama, tmp_path_factory.mktemp("vectors") / "out", recipe, calibration=FEW)


def test_layers_are_in_vectors_and_the_last_in_8_bits(done: Compressed) -> None:
    sites = sites_of(done.output)
    chains = [site.weights for site in sites[:BODY]]
    assert {chain.encoding.entries for chain in chains if isinstance(chain, VectorChain)} == {(256, 64)}
    assert [site.format for site in sites[BODY:]] == ["integer"]
    [fmt] = [fmt for fmt in done.models[0].formats if fmt.kind == "attn.q"]
    assert fmt.weights.startswith("vector d=2 256+64")
    assert done.models[0].layout is not None
    assert done.models[0].layout.layers == {"vq4": BODY}


def test_the_compressed_model_answers_nearly_as_the_original(llama: Path, done: Compressed) -> None:
    models = [ov.Core().read_model(folder / "openvino_model.xml") for folder in (llama, done.output)]
    inputs = make_inputs(input_specs(models[0]), 16)
    expected, found = (outputs(model, inputs, group_size=0)[0] for model in models)
    # 7 bits lose about 2 % of a Gaussian weight, and errors of several layers add up
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.12


def test_matrices_that_read_one_activation_share_a_codebook(done: Compressed) -> None:
    books: dict[str, set[int]] = {}
    for site in sites_of(done.output)[:BODY]:
        assert isinstance(site.weights, VectorChain)
        books.setdefault(site.group_id, set()).add(site.weights.lookups[0].codebook)
    assert [len(found) for found in books.values()] == [1, 1, 1, 1]
    assert len(set.union(*books.values())) == 4


@pytest.mark.slow
def test_an_interrupted_compression_resumes(
    llama: Path,
    tmp_path: Path,
    done: Compressed,
    monkeypatch: pytest.MonkeyPatch,
    encodings: Callable[[int], list[int]],
) -> None:
    """What was encoded before is not encoded again, and the weights are the same."""
    calls = encodings(3)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        compress_source(llama, tmp_path / "out", done.recipe, calibration=FEW)
    assert not list(tmp_path.iterdir())
    compress_source(llama, tmp_path / "out", done.recipe, calibration=FEW)
    assert len(calls) < 3 + 4
    assert (tmp_path / "out/openvino_model.bin").read_bytes() == (done.output / "openvino_model.bin").read_bytes()


@pytest.mark.parametrize(
    ("recipe", "calibration", "said"),
    [
        (Recipe("vq2", vector_length=16, ignore=("kind:lm_head",)), Calibration(samples=1, tokens=8), "too few"),
        (SMALL, Calibration(text=Path("nowhere.txt"), samples=4, tokens=32), "nowhere.txt"),
    ],
)
def test_refused_before_anything_is_written(
    llama: Path, tmp_path: Path, recipe: Recipe, calibration: Calibration, said: str
) -> None:
    with pytest.raises(OvpassError, match=said):
        compress_source(llama, tmp_path / "out", recipe, calibration=calibration)
    assert not list(tmp_path.iterdir())


def test_vectors_that_do_not_divide_k(tmp_path: Path) -> None:
    ov.save_model(linear_model("w_f16_plain", 20, 32), tmp_path / "m.xml", compress_to_fp16=False)
    with pytest.raises(SettingsError, match=r"vectors of 8 do not divide K=20"):
        compress_source(tmp_path / "m.xml", tmp_path / "out.xml", Recipe("vq2", vector_length=8, all_layers=True))


@pytest.mark.parametrize(
    ("mode", "options", "said"),
    [
        ("int4_sym", {"vector_length": 4}, "vector-length"),
        ("int4_sym", {"codebooks": 2}, "codebooks"),
        ("vq2", {"vector_length": 3}, "vectors of 3"),
        ("vq2", {"entries": (1,)}, "entries"),
        ("vq2", {"entries": (16, 16), "codebooks": 3}, "codebooks 3"),
        ("vq2", {"codebooks": -1}, "codebooks -1"),
        ("vq2", {"group_size": 64}, "per channel"),
        ("vq2", {"gptq": True}, "gptq"),
    ],
)
def test_options_that_do_not_fit(mode: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Recipe(mode, **options)  # type: ignore[arg-type]


def test_entries_count_for_every_codebook() -> None:
    encoding = Recipe("vq4", entries=(16,), codebooks=3).encoding
    assert isinstance(encoding, VectorEncoding)
    assert encoding.entries == (16, 16, 16)
