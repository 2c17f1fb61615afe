"""A model is laid out as OpenVINO Model Server reads it; the libraries that the server calls take what is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai as genai
import pytest

import ovpass as package
from ovpass.transformation.run_notes import FILE_NAME as RUN_NOTES
from tests.cli.command import ENCODER, LLAMA, MODELS, CommandLine, contents
from tests.serving.messages import read_graph
from tests.serving.schema import check


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A language model with a plan for the CPU."""
    package.transform(LLAMA, tmp_path / "llama", package.Settings(target="cpu", group_size=32))
    return tmp_path / "llama"


def config_of(folder: Path) -> Any:
    """The configuration, of which the server's schema approves."""
    config = json.loads((folder / "config.json").read_text())
    check(config)
    return config


def test_a_language_model_gets_a_graph(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    before, out = contents(llama), tmp_path / "served"
    done = ovpass.succeed("layout", llama, "-o", out, "--cache-size", 2, "--json").json
    assert contents(llama) == before
    assert config_of(out) == {
        "model_config_list": [],
        "mediapipe_config_list": [{"name": "llama", "base_path": "llama"}],
    }
    graph, options = read_graph((out / "llama" / "graph.pbtxt").read_text())
    assert (graph.node[0].calculator, graph.node[0].input_stream_info[0].back_edge) == ("HttpLLMCalculator", True)
    found = {field.name: value for field, value in options.ListFields()}
    assert json.loads(found.pop("plugin_config")) == done["properties"] == {"INFERENCE_PRECISION_HINT": "f32"}
    assert found == {"models_path": "./", "device": "CPU", "cache_size": 2}
    # All that the folder had is beside the graph, but notes on how to run it, which are for the server.
    assert contents(out / "llama").keys() == {*before, "graph.pbtxt"} - {RUN_NOTES}
    assert (out / RUN_NOTES).is_file()


def test_the_pipeline_of_the_server_runs_what_is_written(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    """The calculator makes a ContinuousBatchingPipeline of its options."""
    ovpass.succeed("layout", llama, "-o", tmp_path / "served", "--quiet")
    folder = tmp_path / "served" / "llama"
    _, options = read_graph((folder / "graph.pbtxt").read_text())
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = options.cache_size
    properties = json.loads(options.plugin_config)
    pipeline = genai.ContinuousBatchingPipeline(folder, scheduler, options.device, properties)
    (answer,) = pipeline.generate(["Paris"], [genai.GenerationConfig(max_new_tokens=2, ignore_eos=True)])
    assert len(answer.m_generation_ids) == 1


def test_any_other_model_gets_a_version(ovpass: CommandLine, tmp_path: Path) -> None:
    package.transform(ENCODER, tmp_path / "encoder", package.Settings(target="cpu"))
    out = tmp_path / "served"
    ovpass.succeed("layout", tmp_path / "encoder", "-o", out, "--name", "my encoder", "--quiet")
    (entry,) = (entry["config"] for entry in config_of(out)["model_config_list"])
    assert (entry["name"], entry["target_device"]) == ("my-encoder", "CPU")
    xml = out / entry["base_path"] / "1" / "model.xml"
    compiled = ov.Core().compile_model(xml, entry["target_device"], entry.get("plugin_config", {}))
    inputs = [
        np.zeros([2 if size.is_dynamic else size.get_length() for size in port.partial_shape])
        for port in compiled.inputs
    ]
    assert compiled(inputs)


def test_each_model_of_a_folder_is_served(ovpass: CommandLine, tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copytree(ENCODER, tmp_path / "two" / name)
    ovpass.succeed("layout", tmp_path / "two", "-o", tmp_path / "served", "--device", "GPU.1", "--quiet")
    entries = [entry["config"] for entry in config_of(tmp_path / "served")["model_config_list"]]
    names = ["two-first-openvino_model", "two-second-openvino_model"]
    assert [entry["name"] for entry in entries] == names
    assert {entry["target_device"] for entry in entries} == {"GPU.1"}
    assert all((tmp_path / "served" / name / "1" / "model.bin").is_file() for name in names)


def test_what_the_plan_needs_is_in_the_command(ovpass: CommandLine, tmp_path: Path) -> None:
    package.transform(ENCODER, tmp_path / "encoder", package.Settings(threshold=32))
    out = tmp_path / "it's served"
    done = ovpass.succeed("layout", tmp_path / "encoder", "-o", out, "--json").json
    assert done["device"] == "GPU"
    assert done["command"].startswith("OV_GPU_DYNAMIC_QUANTIZATION_THRESHOLD=32 ovms --config_path '")
    assert done["command"] in ovpass.succeed("layout", tmp_path / "encoder", "-o", out, "--overwrite").out


def test_what_cannot_be_served(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "served"
    assert "--device" in ovpass.refuse("layout", ENCODER, "-o", out)
    assert "INT 8" in ovpass.refuse("layout", ENCODER, "-o", out, "--device", "INT 8")
    assert "cache size -1" in ovpass.refuse("layout", llama, "-o", out, "--cache-size", -1)
    assert "state" in ovpass.refuse("layout", llama / "openvino_model.xml", "-o", out)
    (llama / "openvino_detokenizer.xml").unlink()
    assert "openvino_detokenizer.xml" in ovpass.refuse("layout", llama, "-o", out)
    assert not out.exists()


def test_outputs_that_are_not_free(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    out = tmp_path / "served"
    assert "overlaps" in ovpass.refuse("layout", llama, "-o", llama / "served")
    ovpass.succeed("layout", llama, "-o", out, "--quiet")
    assert "--overwrite" in ovpass.refuse("layout", llama, "-o", out)
    (out / "mine.txt").write_text("mine")
    assert "mine.txt" in ovpass.refuse("layout", llama, "-o", out, "--overwrite")
    (out / "mine.txt").unlink()
    ovpass.succeed("layout", llama, "-o", out, "--overwrite", "--quiet")


def test_a_language_model_that_looks_at_pictures(ovpass: CommandLine, tmp_path: Path) -> None:
    folder = shutil.copytree(MODELS / "zoo" / "llava", tmp_path / "llava")
    for name in ("openvino_tokenizer", "openvino_detokenizer"):
        for suffix in (".xml", ".bin"):
            shutil.copy(LLAMA / f"{name}{suffix}", folder)
    done = ovpass.succeed("layout", folder, "-o", tmp_path / "served", "--device", "GPU", "--json").json
    assert done["servables"] == [{"name": "llava", "kind": "llm"}]
    assert (tmp_path / "served" / "llava" / "graph.pbtxt").is_file()
