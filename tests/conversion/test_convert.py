"""What can be converted, what is refused, and where the result may go."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from ovpass.conversion.find_source import find_source
from ovpass.conversion.hugging_face_folder import infer_task
from ovpass.errors import ModelError, SettingsError
from tests.cli.command import LLAMA, MODELS, CommandLine, contents
from tests.conversion.gguf_files import write_gguf

CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
MISSING = "import sys; sys.modules.update(dict.fromkeys([{name!r}]))"
"""A None in sys.modules is a package that cannot be imported."""


def hugging_face(folder: Path, **config: Any) -> Path:
    """A folder that looks like a model as long as nobody runs it."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    save_file({"weight": np.zeros((4, 4), np.float32)}, folder / "model.safetensors")
    return folder


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"GGUF" if name.endswith("gguf") else b"{}")
    return folder


@pytest.mark.parametrize(
    ("names", "kind", "model"),
    [
        (("config.json", "model.safetensors"), "Hugging Face", ""),
        (("config.json", "pytorch_model.bin", "model.onnx"), "Hugging Face", ""),
        (("model_index.json", "unet/config.json"), "Hugging Face", ""),
        (("config.json", "model.gguf", "tokenizer.json"), "GGUF", "model.gguf"),
        (("config.json", "model.onnx", "tokenizer.json"), "ONNX", "model.onnx"),
        (("config.json", "onnx/model.onnx"), "ONNX", "onnx/model.onnx"),
    ],
)
def test_folders_are_told_apart(tmp_path: Path, names: tuple[str, ...], kind: str, model: str) -> None:
    found = find_source(touched(tmp_path / "in", *names))
    assert (found.source.title, found.model) == (kind, tmp_path / "in" / model)


@pytest.mark.parametrize(("name", "kind"), [("a.gguf", "GGUF"), ("a.onnx", "ONNX")])
def test_files_are_told_apart(tmp_path: Path, name: str, kind: str) -> None:
    assert find_source(touched(tmp_path, name) / name).source.title == kind


def test_a_gguf_file_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"GGUF....")
    assert find_source(tmp_path / "model").source.title == "GGUF"


@pytest.mark.parametrize(
    ("names", "source", "named"),
    [
        ((), "some-owner/some-model", "download it first"),
        ((), "missing.gguf", "no such file"),
        (("a.safetensors",), "a.safetensors", "name its folder"),
        (("a.txt",), "a.txt", "is not a "),
        (("a.xml",), "a.xml", "OpenVINO model already"),
        (("in/config.json",), "in", "no weights"),
        (("in/model.safetensors",), "in", "no config.json"),
        (("in/a.onnx", "in/b.onnx"), "in", "name one of them"),
        (("in/readme.md",), "in", "holds no "),
    ],
)
def test_no_model(
    ovpass: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    source: str,
    named: str,
) -> None:
    monkeypatch.chdir(touched(tmp_path, *names))
    before = contents(tmp_path)
    assert named in ovpass.refuse("convert", source, "-o", "out")
    assert contents(tmp_path) == before


def test_an_openvino_model_needs_no_conversion() -> None:
    with pytest.raises(ModelError, match="already"):
        find_source(LLAMA)


def without_type(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def not_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def cut_in_the_header(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:20])


def no_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x04\0\0\0\0\0\0\0nope")


def parts_missing(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (without_type, "model_type"),
        (not_json, "JSON"),
        (a_list, "object"),
        (cut, "truncated"),
        (cut_in_the_header, "cut off"),
        (no_header, "safetensors"),
        (parts_missing, "model-2.safetensors"),
    ],
)
def test_damaged_hugging_face_folders(
    ovpass: CommandLine, tmp_path: Path, damage: Callable[[Path], None], named: str
) -> None:
    """Before PyTorch is asked for, which is not here."""
    damage(hugging_face(tmp_path / "in"))
    before = contents(tmp_path)
    assert named in ovpass.refuse("convert", tmp_path / "in", "-o", tmp_path / "out")
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("config", "options", "named"),
    [
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, (), "bitsandbytes"),
        ({"architectures": ["Peculiar"]}, (), "--task"),
        ({"architectures": None}, (), "--task"),
        ({}, ("--weight-format", "int4"), "ovpass compress"),
        ({}, ("--exact",), "GGUF"),
        ({}, ("--requantize", "i8"), "ovpass compress"),
        ({}, ("--requantize", "int8"), "use i8 or u4"),
    ],
)
def test_what_cannot_be_exported(
    ovpass: CommandLine, tmp_path: Path, config: dict[str, Any], options: tuple[str, ...], named: str
) -> None:
    source = hugging_face(tmp_path / "in", **config)
    assert named in ovpass.refuse("convert", source, "-o", tmp_path / "out", *options)


def test_code_of_the_folder(ovpass: CommandLine, tmp_path: Path) -> None:
    """Refused where there is some; a mere name of it is left in folders of models that transformers knows."""
    source = hugging_face(tmp_path / "in", auto_map={"AutoModel": "own.Model"})
    assert "--trust-remote-code" not in ovpass.refuse("convert", source, "-o", tmp_path / "out")
    (source / "own.py").touch()
    assert "--trust-remote-code" in ovpass.refuse("convert", source, "-o", tmp_path / "out")


def test_options_for_hugging_face_alone(ovpass: CommandLine, tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "in.gguf")
    assert "GGUF" in ovpass.refuse("convert", source, "-o", tmp_path / "out", "--task", "fill-mask")


def test_options_that_exclude_each_other(ovpass: CommandLine, tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "in.gguf")
    options = ("--exact", "--integer-zero-points")
    assert "leave one of the two out" in ovpass.refuse("convert", source, "-o", tmp_path / "out", *options)


@pytest.mark.parametrize(
    ("config", "task"),
    [
        ({"architectures": ["Qwen3ForCausalLM"]}, "text-generation-with-past"),
        ({"architectures": ["GPT2LMHeadModel"]}, "text-generation-with-past"),
        ({"architectures": ["BertModel"]}, "feature-extraction"),
        ({"architectures": ["BertForMaskedLM"]}, "fill-mask"),
        ({"architectures": ["MarianMTModel"]}, "text2text-generation-with-past"),
        ({"architectures": ["T5ForConditionalGeneration"]}, "text2text-generation-with-past"),
        (
            {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"},
            "automatic-speech-recognition-with-past",
        ),
        ({"architectures": ["LlavaForConditionalGeneration"], "vision_config": {}}, "image-text-to-text"),
    ],
)
def test_the_task_is_told_by_the_class(config: dict[str, Any], task: str) -> None:
    assert infer_task(config) == task


def test_pipelines_do_not_tell_their_task() -> None:
    with pytest.raises(SettingsError, match=r"StableDiffusion3Pipeline.*--task text-to-image"):
        infer_task({"_class_name": "StableDiffusion3Pipeline"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "extra"),
    [("torch", "export"), ("optimum", "export"), ("openvino_genai", "genai"), ("gguf", "gguf")],
)
def test_the_extra_is_named(tmp_path: Path, missing: str, extra: str) -> None:
    """In a process that has everything but that package."""
    (tmp_path / "sitecustomize.py").write_text(MISSING.format(name=missing))
    source = hugging_face(tmp_path / "hf") if extra == "export" else write_gguf(tmp_path / "in.gguf")
    command = [sys.executable, "-m", "ovpass", "convert", str(source), "-o", str(tmp_path / "out")]
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"ovpass[{extra}]" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_where_the_output_may_go(ovpass: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    source = write_gguf(tmp_path / "in/model.gguf")
    places = {
        tmp_path / "in/out": "overlaps the source",
        tmp_path / "in": "overlaps",
        tmp_path: "overlaps",
        tmp_path / "out.xml": "model folder",
    }
    before = contents(tmp_path)
    for place, named in places.items():
        assert named in ovpass.refuse("convert", source.parent, "-o", place, "--overwrite")
    assert contents(tmp_path) == before


def test_overwriting_and_what_is_told(ovpass: CommandLine, tmp_path: Path) -> None:
    source, out = write_gguf(tmp_path / "in.gguf", "Q4_1"), tmp_path / "out"
    shutil.copytree(LLAMA, out)
    assert "--overwrite" in ovpass.refuse("convert", source, "-o", out)
    (out / "thesis.odt").write_text("five years of work")
    assert "thesis.odt" in ovpass.refuse("convert", source, "-o", out, "--overwrite")
    (out / "thesis.odt").unlink()
    shown = ovpass.succeed("convert", source, "-o", out, "--overwrite").out
    assert all(len(line) <= 80 for line in shown.splitlines() if not line.startswith(("Note", "Written")))
    assert "Note: zero points of 8 Q4_1 matrices are not whole" in shown
    assert json.loads((out / "config.json").read_text())["vocab_size"] < 256
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.gguf", "out"]


def test_overwriting_takes_a_model_to_be_overwritten(ovpass: CommandLine, tmp_path: Path) -> None:
    source, out = write_gguf(tmp_path / "in.gguf"), tmp_path / "out"
    touched(out, "my-config-backup.json", "api-token.txt")
    assert "holds no model" in ovpass.refuse("convert", source, "-o", out, "--overwrite")
    assert len(list(out.iterdir())) == 2


@pytest.mark.parametrize("there", [True, False])
def test_links_are_no_place_for_a_folder(ovpass: CommandLine, tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("elsewhere")
    source = write_gguf(tmp_path / "in.gguf")
    for command, model in (("convert", source), ("apply", LLAMA)):
        refused = ovpass.refuse(command, model, "-o", tmp_path / "out", "--overwrite")
        assert f"is a link; name what it points to, {tmp_path / 'elsewhere'}" in refused


@pytest.mark.slow
def test_json_is_alone_on_stdout(ovpass: CommandLine, tmp_path: Path) -> None:
    source = write_gguf(tmp_path / "in.gguf", "Q4_1")
    found = ovpass.succeed("convert", source, "-o", tmp_path / "out", "--json").json
    assert (found["source"], found["task"], found["tokenizer"]) == ("GGUF", None, True)
    assert found["models"][0]["sites"] == sum(layers["count"] for layers in found["models"][0]["layers"])


def test_an_onnx_folder_brings_its_tokenizer_along(ovpass: CommandLine, tmp_path: Path) -> None:
    """It is not converted here, without transformers, which is said."""
    touched(tmp_path / "in", "tokenizer.json", "config.json", "special_tokens_map.json", "thesis.odt")
    shutil.copyfile(MODELS / "onnx/matmulnbits_u4_level4.onnx", tmp_path / "in/model.onnx")
    found = ovpass.succeed("convert", tmp_path / "in", "-o", tmp_path / "out", "--json").json
    assert (found["source"], found["tokenizer"], found["models"][0]["sites"]) == ("ONNX", False, 12)
    assert "transformers" in found["notes"][0]
    carried = {"tokenizer.json", "config.json", "special_tokens_map.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *carried,
        "openvino_model.xml",
        "openvino_model.bin",
    }
    alone = ovpass.succeed("convert", tmp_path / "in/model.onnx", "-o", tmp_path / "alone", "--json").json
    assert "name the folder" in alone["notes"][0]
