"""Files and folders from end to end, as a program would call it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai as genai
import pytest
from openvino import opset13 as op

import ovpass
from ovpass.api import strip_source, transform
from ovpass.errors import ModelError, OutputError, PlanError, SettingsError
from ovpass.settings.settings import Rule, Settings
from tests.cli.command import LLAMA, contents, pair_folder
from tests.ir.files import same_file
from tests.passes.helpers import structure

NATIVE = Settings(group_size=64)


def test_a_folder_is_carried_along(tmp_path: Path) -> None:
    source = Path(shutil.copytree(LLAMA, tmp_path / "in"))
    (source / "assets").mkdir()
    (source / "assets/logo.png").write_bytes(b"png")
    (source / "chat_template.jinja").symlink_to("config.json")
    before = contents(source)
    transform(source, tmp_path / "out", NATIVE)
    after = contents(tmp_path / "out")
    assert contents(source) == before
    assert {name for name in before if before[name] != after.get(name)} == {"openvino_model.xml"}
    assert not (tmp_path / "out/chat_template.jinja").is_symlink()
    assert same_file(source / "openvino_tokenizer.bin", tmp_path / "out/openvino_tokenizer.bin")
    assert not same_file(source / "config.json", tmp_path / "out/config.json")


def test_nothing_is_shared_with_the_input_where_copies_are_asked_for(tmp_path: Path) -> None:
    source = Path(shutil.copytree(LLAMA, tmp_path / "in"))
    transform(source, tmp_path / "out", NATIVE, copy_weights=True)
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "out").iterdir())


def test_submodels_each_have_their_plan_and_results(tmp_path: Path) -> None:
    source = pair_folder(tmp_path / "in")
    done = transform(source, tmp_path / "out", Settings(rules=(Rule("kind:mlp.up", exempt=True),)))
    keys = ["text/openvino_model.xml", "vision/openvino_model.xml"]
    assert [list(part) for part in (done.plans, done.results, done.weights)] == [keys] * 3
    assert done.counts == {"quantize": 15 + 12 - 4, "exempt": 4, "skip": 0}
    back = strip_source(tmp_path / "out", tmp_path / "back")
    assert list(back.results) == keys
    for key in keys:
        weights = Path(key).with_suffix(".bin")
        assert (tmp_path / "back" / weights).read_bytes() == (source / weights).read_bytes()


def test_a_submodel_without_sites_is_carried_along(tmp_path: Path) -> None:
    source = Path(shutil.copytree(LLAMA, tmp_path / "in"))
    for suffix in ("xml", "bin"):
        shutil.copyfile(source / f"openvino_tokenizer.{suffix}", source / f"openvino_other.{suffix}")
    done = transform(source, tmp_path / "out", NATIVE)
    assert list(done.plans) == [""]
    assert (tmp_path / "out/openvino_other.xml").read_bytes() == (source / "openvino_other.xml").read_bytes()


def test_run_notes_can_be_sourced(tmp_path: Path) -> None:
    settings = Settings(threshold=128, symmetric=False)
    done = transform(LLAMA, tmp_path / "out", settings)
    assert len(done.run.environment) == 2
    shell = subprocess.run(
        ["sh", "-c", '. "$1"; env', "sh", str(tmp_path / "out/ovpass_run.env")],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert all(f"{name}={value}" in shell.stdout.splitlines() for name, value in done.run.environment.items())


def test_no_run_notes_where_none_are_needed(tmp_path: Path) -> None:
    transform(LLAMA, tmp_path / "out", Settings(threshold=128))
    transform(LLAMA, tmp_path / "out", NATIVE, overwrite=True)
    strip_source(tmp_path / "out", tmp_path / "back")
    assert not list(tmp_path.rglob("ovpass_run.env"))


def test_strip_drops_the_run_notes(tmp_path: Path) -> None:
    transform(LLAMA, tmp_path / "out", Settings(threshold=128))
    strip_source(tmp_path / "out", tmp_path / "back")
    assert not (tmp_path / "back/ovpass_run.env").exists()


def test_progress_is_told(tmp_path: Path) -> None:
    steps: list[str] = []
    transform(LLAMA, tmp_path / "out", NATIVE, progress=steps.append)
    assert len(steps) > 1


@pytest.mark.parametrize(
    ("output", "settings", "kind"),
    [
        ("out.xml", NATIVE, OutputError),
        ("out", Settings(rules=(Rule("layer:9", exempt=True),)), SettingsError),
        ("out", Settings(lowering="int8"), SettingsError),
    ],
)
def test_refusals_write_nothing(tmp_path: Path, output: str, settings: Settings, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        transform(LLAMA, tmp_path / output, settings)
    with pytest.raises(ModelError):
        transform(tmp_path / "none", tmp_path / output, settings)
    assert contents(tmp_path) == {}


def test_generation_stays_the_same_where_quantization_is_off(tmp_path: Path) -> None:
    """Native changes no weight: with the plugin's quantization switched off, token for token."""
    ovpass.transform(LLAMA, tmp_path / "out", ovpass.Settings(group_size=32))
    exact = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}
    config = genai.GenerationConfig(max_new_tokens=24, do_sample=False, ignore_eos=True)
    texts = []
    for folder in (LLAMA, tmp_path / "out"):
        pipeline = genai.LLMPipeline(str(folder), "CPU", **exact)
        result = pipeline.generate(["the theme of it"], config)
        assert result.perf_metrics.get_num_generated_tokens() == 24
        texts.append(str(result.texts[0]))
    assert texts[0] == texts[1]


def test_strip_names_the_file_that_it_refuses(tmp_path: Path) -> None:
    transform(LLAMA, tmp_path / "out", Settings(lowering="int8", requantize=True))
    with pytest.raises(ModelError, match=r"out/openvino_model\.xml"):
        strip_source(tmp_path / "out", tmp_path / "back")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


IN_MEMORY = {
    "native": NATIVE,
    "exempt": Settings(group_size=64, rules=(Rule("kind:mlp.down", exempt=True),)),
    "emulate": Settings(lowering="emulate", group_size=32),
    "cpu": Settings(target="cpu", group_size=32),
}


@pytest.mark.parametrize("settings", IN_MEMORY.values(), ids=list(IN_MEMORY))
def test_a_model_in_memory_becomes_a_file(settings: Settings, tmp_path: Path) -> None:
    """As the file that it was read from would, with scales in f32 left in f32."""
    source = LLAMA / "openvino_model.xml"
    model = ov.Core().read_model(source)
    before = structure(model)
    done = transform(model, tmp_path / "out.xml", settings)
    same = transform(source, tmp_path / "same.xml", settings)
    assert structure(model) == before
    assert [plan.decisions for plan in done.plans.values()] == [plan.decisions for plan in same.plans.values()]
    written = [ov.Core().read_model(tmp_path / f"{name}.xml") for name in ("out", "same")]
    assert structure(written[0]) == structure(written[1])
    notes = [tmp_path / f"{name}.ovpass_run.env" for name in ("out", "same")]
    assert notes[0].exists() == notes[1].exists() == bool(done.run.environment or done.run.properties)
    strip_source(tmp_path / "out.xml", tmp_path / "back.xml")
    assert structure(ov.Core().read_model(tmp_path / "back.xml")) == before


def test_a_model_in_memory_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    model, out = ov.Core().read_model(LLAMA / "openvino_model.xml"), tmp_path / "out.xml"
    plan = ovpass.make_plan(model, NATIVE)
    with pytest.raises(OutputError, match=r"\.xml"):
        transform(model, tmp_path / "out", NATIVE)
    with pytest.raises(PlanError, match="other"):
        transform(model, out, plans={"other": plan})
    x = op.parameter([1, 2])
    with pytest.raises(ModelError, match="compress"):
        transform(ov.Model([op.relu(x)], [x]), out, NATIVE)
    assert not contents(tmp_path)
    transform(model, out, plans=plan)
    with pytest.raises(OutputError, match="exists"):
        transform(model, out, NATIVE)
    transform(model, out, NATIVE, overwrite=True)


@pytest.mark.parametrize(("kind", "said"), [("i8", "only 1 convolution"), ("f32", "only 1 convolution")])
def test_a_model_of_convolutions_has_nothing_to_compress_first(tmp_path: Path, kind: str, said: str) -> None:
    x = op.parameter([1, 3, 8, 8], np.float32)
    codes = op.constant(np.ones((4, 3, 3, 3), np.int8 if kind == "i8" else np.float32))
    weights = op.multiply(op.convert(codes, np.float32), op.constant(np.float32(0.5)))
    product = op.convolution(x, weights, [1, 1], [0, 0], [0, 0], [1, 1])
    ov.save_model(ov.Model([product], [x]), tmp_path / "model.xml", compress_to_fp16=False)
    with pytest.raises(ModelError, match=said):
        transform(tmp_path / "model.xml", tmp_path / "out.xml")
