"""NNCF's formats from files to files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.compression.calibration import Calibration
from ovpass.compression.compress import Compressed, compress_source
from ovpass.compression.modes import MODES
from ovpass.compression.recipe import Recipe
from ovpass.errors import ModelError, OvpassError, SettingsError, TextError
from ovpass.evaluation.corpus import read_text
from ovpass.evaluation.options import WindowOptions
from ovpass.evaluation.tokenizer import load_tokenizer
from ovpass.evaluation.windows import make_windows
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.note import read_note
from ovpass.settings.settings import Rule, Settings
from ovpass.sites import find_compressed_matmuls
from ovpass.transformation.transform import transform
from ovpass.verification.inputs import input_specs, make_inputs
from tests.builders import attention_model, linear_model
from tests.cli.command import LLAMA, contents
from tests.compression.conftest import F16, Compress, float_llama
from tests.passes.helpers import outputs
from tests.processors import on_all_processors

NAME = "openvino_model.xml"
BODY = 7
FEW = Calibration(samples=2, tokens=32)
STORED = {
    "int8_sym": "i8", "int8_asym": "u8", "int4_sym": "i4", "int4_asym": "u4", "int3_sym": "u3", "int2_sym": "u2",
    "nf4": "nf4", "mxfp4": "f4e2m1", "fp4": "f4e2m1", "nvfp4": "f4e2m1", "mxfp8_e4m3": "f8e4m3",
    "fp8_e4m3": "f8e4m3", "cb4": "u4", "codebook": "u4",
}  # fmt: skip
QUANTIZED = {"int8_sym", "int8_asym", "int4_sym", "int4_asym"}
FLOATS = {"fp4", "nvfp4", "fp8_e4m3"}
"""Those that Xe3p quantizes activations for."""


def read(folder: Path) -> ov.Model:
    return ov.Core().read_model(folder / NAME)


def weight_types(done: Compressed) -> dict[str, int]:
    counts: dict[str, int] = {}
    for fmt, count in done.models[0].formats.items():
        counts[fmt.weight_type] = counts.get(fmt.weight_type, 0) + count
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("mode", STORED)
def test_every_mode(compressed: Compress, tmp_path: Path, mode: str) -> None:
    table = tmp_path / "table.npy"
    np.save(table, np.linspace(-1, 1, 16, dtype=np.float32))
    group = None if MODES[mode].fixed_group else 32
    recipe = Recipe(mode, group_size=group, codebook=table if mode == "codebook" else None)
    done = compressed(recipe)
    sites = find_compressed_matmuls(read(done.output))
    assert [site.weight_type for site in sites[:BODY]] == [STORED[mode]] * BODY
    assert {site.weight_group_size for site in sites[:BODY]} == {recipe.weight_group}
    assert sites[-1].kind == "lm_head"
    assert sites[0].codebook == (mode in ("cb4", "codebook"))
    by_target = {entry.target: entry.quantized for entry in done.advice}
    assert by_target["gpu-xmx"] >= BODY if mode in QUANTIZED else by_target["cpu"] <= BODY + 1
    refused = [note for note in done.notes if "no target" in note]
    assert bool(refused) == (mode not in QUANTIZED | FLOATS | {"int2_sym"})


def test_the_compressed_model_answers_as_the_original(llama: Path, compressed: Compress) -> None:
    done, model = compressed(Recipe("int8_sym")), read(llama)
    inputs = make_inputs(input_specs(model), 16)
    expected, found = (outputs(m, inputs, group_size=0)[0] for m in (model, read(done.output)))
    # rounding to 8 bit costs a Gaussian weight about 0.7 %, and errors of several layers add up
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.05


def test_a_folder_is_carried_along_and_the_input_left_alone(llama: Path, tmp_path: Path) -> None:
    before = contents(llama)
    done = compress_source(llama, tmp_path / "out")
    after = contents(tmp_path / "out")
    changed = {name for name in before if before[name] != after.get(name)}
    assert changed == {"openvino_model.xml", "openvino_model.bin"}
    assert contents(llama) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    sizes = [(folder / "openvino_model.bin").stat().st_size for folder in (llama, tmp_path / "out")]
    assert [done.models[0].bytes_before, done.models[0].bytes_after] == sizes
    assert sizes[1] < 0.6 * sizes[0]


def test_a_single_file(llama: Path, tmp_path: Path) -> None:
    compress_source(llama / NAME, tmp_path / "small.xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.bin", "small.xml"]
    assert len(find_compressed_matmuls(ov.Core().read_model(tmp_path / "small.xml"))) == BODY + 1


def test_submodels_are_all_compressed(tmp_path: Path) -> None:
    for part in ("text", "draft"):
        float_llama(tmp_path / "in" / part)
    done = compress_source(tmp_path / "in", tmp_path / "out", Recipe("int4_sym", group_size=32))
    assert [model.key for model in done.models] == [f"draft/{NAME}", f"text/{NAME}"]
    assert all(sum(model.formats.values()) == BODY + 1 for model in done.models)


@pytest.mark.parametrize(("mode", "fmt"), [("int8_sym", F16), ("int4_sym", "w_f32_plain")])
def test_ignored_layers_stay_as_they_are(tmp_path: Path, mode: str, fmt: str) -> None:
    """Even the head, whose weights the embedding shares."""
    group = 32 if mode == "int4_sym" else None
    recipe = Recipe(mode, group_size=group, ignore=("kind:lm_head", "kind:attn.v+layer:0"))
    done = compress_source(float_llama(tmp_path / "in", fmt=fmt), tmp_path / "out", recipe)
    kinds = {site.kind for site in find_compressed_matmuls(read(tmp_path / "out"))}
    assert kinds == {"attn.q", "attn.k", "attn.out", "mlp.gate", "mlp.up", "mlp.down"}
    assert len(done.models[0].ignored) == 2
    assert done.models[0].left == ()


def test_a_ratio_leaves_the_rest_to_the_backup(llama: Path, tmp_path: Path) -> None:
    recipe = Recipe("int4_sym", group_size=32, ratio=0.5, backup_mode="int8_sym")
    found = weight_types(compress_source(llama, tmp_path / "out", recipe))
    assert set(found) == {"i4", "i8"}
    assert found["i8"] > 1


def test_all_layers_and_no_backup(llama: Path, tmp_path: Path) -> None:
    whole = compress_source(llama, tmp_path / "whole", Recipe("int4_sym", group_size=32, all_layers=True))
    assert weight_types(whole) == {"i4": BODY + 1}
    part = compress_source(llama, tmp_path / "part", Recipe("int4_sym", group_size=32, backup_mode="none"))
    assert weight_types(part) == {"i4": BODY}
    assert len(part.models[0].left) == 1


def test_group_sizes_that_do_not_divide(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"K=64 \(6 layers\).* use group-size 64, .* adjust .* ignore"):
        compress_source(llama, tmp_path / "out", Recipe("int4_sym"))
    assert not any(tmp_path.iterdir())
    adjusted = compress_source(llama, tmp_path / "adjusted", Recipe("int4_sym", group_size_fallback="adjust"))
    assert weight_types(adjusted) == {"i4": BODY, "u8": 1}
    left = compress_source(llama, tmp_path / "left", Recipe("int4_sym", group_size_fallback="ignore"))
    assert len(left.models[0].left) == BODY - 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "stored"),
    [
        (Recipe("int4_sym", group_size=32, awq=True, scale_estimation=True), {"i4": BODY, "u8": 1}),
        (Recipe("int4_asym", group_size=32, gptq=True), {"u4": BODY, "u8": 1}),
        # two adapters for each layer
        (Recipe("int4_sym", group_size=32, lora_correction=True), {"i4": BODY, "u8": 1 + 2 * BODY}),
    ],
    ids=["awq-and-scale-estimation", "gptq", "lora-correction"],
)
def test_methods_that_look_at_activations(
    llama: Path, tmp_path: Path, compressed: Compress, recipe: Recipe, stored: dict[str, int]
) -> None:
    done = compress_source(llama, tmp_path / "out", recipe, calibration=FEW)
    assert weight_types(done) == stored
    plain = compressed(Recipe(recipe.mode, group_size=32))
    assert weight_types(plain) != stored or contents(done.output) != contents(plain.output)


def test_models_with_their_cache_outside_are_calibrated_too(tmp_path: Path) -> None:
    source = float_llama(tmp_path / "in", stateful=False)
    recipe = Recipe("int4_sym", group_size=32, scale_estimation=True)
    assert weight_types(compress_source(source, tmp_path / "out", recipe, calibration=FEW)) == {"i4": BODY, "u8": 1}


@pytest.mark.slow
def test_awq_does_without_a_text(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for suffix in (".xml", ".bin"):
        (tmp_path / "in" / NAME).with_suffix(suffix).write_bytes((llama / NAME).with_suffix(suffix).read_bytes())
    compress_source(tmp_path / "in", tmp_path / "out", Recipe("int4_sym", group_size=32, awq=True))
    with pytest.raises(TextError, match="tokenizer"):
        compress_source(tmp_path / "in", tmp_path / "more", Recipe("int4_sym", group_size=32, gptq=True))
    recipe = Recipe("int4_sym", group_size=32, gptq=True)
    compress_source(tmp_path / "in", tmp_path / "more", recipe, calibration=Calibration(None, llama, 2, 32))


@pytest.mark.slow
def test_then_apply_is_compress_and_apply(llama: Path, tmp_path: Path, compressed: Compress) -> None:
    settings = Settings(group_size=32, target="cpu", rules=(Rule("kind:attn.v", exempt=True),))
    recipe = Recipe("int4_asym", group_size=32)
    done = compress_source(llama, tmp_path / "both", recipe, then=settings)
    apart = transform(compressed(recipe).output, tmp_path / "two", settings)
    assert done.applied is not None
    assert done.applied.plans == apart.plans
    assert contents(tmp_path / "both").keys() == contents(tmp_path / "two").keys()
    assert read_note(ModelMetadata(read(tmp_path / "both"))) is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["both", "two"]


def test_what_is_described_is_what_is_written(llama: Path, tmp_path: Path) -> None:
    """Lowering int8 stores weights anew; its sites are of the kinds they were of."""
    settings = Settings(lowering="int8", requantize=True)
    done = compress_source(llama, tmp_path / "out", Recipe("int4_sym", group_size=32), then=settings)
    (model,) = done.models
    assert model.bytes_after == (tmp_path / "out/openvino_model.bin").stat().st_size
    assert weight_types(done) == {"i8": BODY + 1}
    assert {fmt.kind for fmt in model.formats} >= {"mlp.gate", "mlp.down", "lm_head"}
    assert done.notes == ()
    assert done.advice == ()


@pytest.mark.parametrize(
    ("recipe", "settings", "now", "way"),
    [
        (Recipe("int4_sym", group_size=32), Settings(group_size=64, target="cpu"), "1 of 8", "group-size 64 for the"),
        (Recipe("int4_asym", group_size=32), Settings(group_size=64), "1 of 8", "group-size 64 for the"),
        (Recipe("int8_sym"), Settings(group_size=128, target="cpu"), "1 of 8", "activation-group-size 64"),
        (Recipe("int4_sym", group_size=64), Settings(group_size=64), None, None),
    ],
)
def test_groups_of_weights_that_agree_with_those_of_activations(
    llama: Path, tmp_path: Path, recipe: Recipe, settings: Settings, now: str | None, way: str | None
) -> None:
    done = compress_source(llama, tmp_path / "out", recipe, then=settings)
    if now is None or way is None:
        assert done.notes == ()
    else:
        (note,) = done.notes
        assert now in note
        assert f"{way}" in note
        assert "works for 8 of 8" in note


def test_overwriting(llama: Path, tmp_path: Path) -> None:
    compress_source(llama, tmp_path / "out", then=Settings(target="cpu", group_size=32))
    assert (tmp_path / "out/ovpass_run.env").exists()
    with pytest.raises(OvpassError, match="exists already"):
        compress_source(llama, tmp_path / "out")
    compress_source(llama, tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out/ovpass_run.env").exists()


def test_compressed_already(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="compressed weights already"):
        compress_source(LLAMA, tmp_path / "out")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("recipe", "calibration", "then", "named"),
    [
        (Recipe(ignore=("layer:0", "kind:lm_head")), None, None, "no layer"),
        (Recipe(ignore=("layer:7",)), None, None, "layer:0-0"),
        (Recipe(), Calibration(LLAMA / "config.json"), None, "activations"),
        (Recipe(), Calibration(tokenizer=LLAMA), None, "no option uses a calibration text"),
        (Recipe("int4_sym", group_size=32, gptq=True), Calibration(LLAMA / "config.json"), None, "longer text"),
        (Recipe("int4_sym", group_size=32, gptq=True), Calibration(Path("missing.txt")), None, "missing.txt"),
        (Recipe("codebook", codebook=LLAMA / "config.json"), None, None, "npy"),
        (Recipe(), None, Settings(rules=(Rule("layer:7", exempt=True),)), "layer:0-0"),
        (Recipe("nf4", group_size=32), None, Settings(lowering="int8"), "use int8_sym, or"),
        (Recipe("nf4", group_size=32), None, Settings(), "use int4_sym or"),
        (Recipe("int8_sym"), None, Settings(target="gpu-no-xmx"), "use int4_sym or int4_asym or int8_asym, or"),
        (Recipe("int4_sym", group_size=32, gptq=True), Calibration(samples=1, tokens=31), None, "use 32 tokens"),
        (Recipe("int4_sym", group_size=64), None, Settings(group_size=16), "below 32.* activation-group-size 32 works"),
        (Recipe("int4_sym", group_size=32), None, Settings(group_size=256, target="cpu"), "none of 8 sites.* 32 works"),
        (Recipe("int4_sym", group_size=48, gptq=True), Calibration(Path("missing.txt")), None, "use group-size 64"),
    ],
)
def test_refused_without_a_trace(
    llama: Path,
    tmp_path: Path,
    recipe: Recipe,
    calibration: Calibration | None,
    then: Settings | None,
    named: str,
) -> None:
    with pytest.raises(OvpassError, match=named):
        compress_source(llama, tmp_path / "out", recipe, calibration=calibration, then=then)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("without", [{"ignore": ("kind:lm_head",)}, {"backup_mode": "none"}])
def test_rules_for_layers_that_will_not_be_there(llama: Path, tmp_path: Path, without: dict[str, Any]) -> None:
    """Refused before the text is looked at."""
    recipe = Recipe("int4_sym", group_size=32, gptq=True, **without)
    settings = Settings(rules=(Rule("kind:lm_head", exempt=True),))
    with pytest.raises(SettingsError, match=r"'kind:lm_head' matches no"):
        compress_source(llama, tmp_path / "out", recipe, calibration=Calibration(LLAMA / "gone"), then=settings)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    ["int8_sym --smooth 0.5", "int4_sym --group-size 32 --all-layers --scale-estimation"],
    ids=["smooth", "scale-estimation"],
)
def test_samples_longer_than_the_model_takes(llama: Path, tmp_path: Path, how: str) -> None:
    ids = op.parameter(ov.PartialShape([1, -1]), np.int64, name="input_ids")
    ids.output(0).set_names({"input_ids"})
    positions = np.random.default_rng(0).standard_normal((1, 8, 64)).astype(np.float32)
    inner = op.add(op.unsqueeze(op.convert(ids, "f32"), op.constant(2)), op.constant(positions))
    product = op.matmul(inner, np.ones((32, 64), np.float32), transpose_a=False, transpose_b=True)
    (tmp_path / "in").mkdir()
    ov.save_model(ov.Model([op.result(product)], [ids]), tmp_path / "in" / NAME, compress_to_fp16=False)
    places = ("compress", tmp_path / "in", "-o", tmp_path / "out", "--tokenizer", llama)
    command = (*places, "--mode", *how.split(), "--samples", 8, "--sequence-length")
    said = " ".join(on_all_processors(*command, 16).stderr.split())
    assert re.search(r"sample of 16 tokens: .*use a shorter --sequence-length", said)
    assert not (tmp_path / "out").exists()
    assert on_all_processors(*command, 8).returncode == 0


@pytest.mark.slow
def test_codebooks_of_other_lengths_are_adapted_too(llama: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "table.npy", np.linspace(-1, 1, 8, dtype=np.float32))
    # NNCF takes half a second of a processor for each layer: two are enough
    others = ("kind:attn.q", "kind:attn.out", "kind:mlp")
    recipe = Recipe("adaptive_codebook", codebook=tmp_path / "table.npy", ignore=others)
    done = compress_source(llama, tmp_path / "out", recipe, calibration=Calibration(samples=2, tokens=64))
    assert weight_types(done) == {"u4": 2, "u8": 1}


def test_layers_that_no_adjusted_group_fits_are_named(tmp_path: Path) -> None:
    ov.save_model(linear_model("w_f32_plain", k=48, n=32), tmp_path / "in.xml", compress_to_fp16=False)
    recipe = Recipe("int4_sym", group_size_fallback="adjust", all_layers=True)
    done = compress_source(tmp_path / "in.xml", tmp_path / "out.xml", recipe)
    assert weight_types(done) == {"u8": 1}
    assert "no group of 32 or more fits K=48 (1 layer)" in done.notes[0]


def test_every_method_looks_at_all_samples(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def look(*_: object, advanced_parameters: Any, **__: object) -> None:
        methods = ("awq", "scale_estimation", "gptq", "lora_correction")
        seen.extend(getattr(advanced_parameters, f"{method}_params").subset_size for method in methods)
        raise RuntimeError("seen")

    monkeypatch.setattr("nncf.compress_weights", look)
    recipe = Recipe("int4_sym", group_size=32, gptq=True)
    with pytest.raises(ModelError, match="seen"):
        compress_source(llama, tmp_path / "out", recipe, calibration=Calibration(samples=3, tokens=32))
    assert seen == [3, 3, 3, 3]


def test_ways_out_of_groups_that_are_fixed_are_ways(tmp_path: Path) -> None:
    model = linear_model("w_f32_plain", k=48, n=32)
    ov.save_model(model, tmp_path / "in.xml", compress_to_fp16=False)
    with pytest.raises(SettingsError, match=r"K=48 \(1 layer\).* use group-size-fallback ignore"):
        compress_source(tmp_path / "in.xml", tmp_path / "out.xml", Recipe("mxfp4", all_layers=True))


def test_a_text_cannot_be_fed_to_a_model_without_token_ids(llama: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    ov.save_model(attention_model(F16), tmp_path / "in" / NAME, compress_to_fp16=False)
    recipe = Recipe("int4_sym", group_size=32, gptq=True)
    with pytest.raises(ModelError, match="input_ids"):
        compress_source(tmp_path / "in", tmp_path / "out", recipe, calibration=Calibration(None, llama, 2, 32))


def test_what_nncf_cannot_do_is_said_in_one_line(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Exception from somewhere.cpp:1:\nthe shapes do not match\n")

    monkeypatch.setattr("nncf.compress_weights", fail)
    recipe = Recipe("int4_sym", group_size=32, gptq=True)
    with pytest.raises(ModelError, match=r"with gptq: the shapes do not match; try it without gptq$"):
        compress_source(llama, tmp_path / "out", recipe, calibration=FEW)
    assert not any(tmp_path.iterdir())


def test_calibration_is_not_on_the_text_of_evaluations_nor_on_what_is_held_out() -> None:
    evaluated = make_windows(read_text(None), load_tokenizer(LLAMA), WindowOptions(8, 512))
    text = Calibration(samples=3, tokens=64).read(LLAMA, held_out=True)
    seen = np.concatenate([window.ids for window in (*evaluated, *text.held_out)]).tobytes()
    assert len(text.samples) == 3
    assert text.held_out
    for sample in text.samples:
        assert sample.tobytes() not in seen
