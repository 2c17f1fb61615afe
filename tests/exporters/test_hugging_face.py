"""Hugging Face folders through the real exporters."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from ovpass.passes.packing import evaluate
from ovpass.sites import find_compressed_matmuls
from tests.cli.command import CommandLine, contents
from tests.exporters.checkpoints import BLOCKS, pack
from tests.exporters.running import logits, torch_logits

NAME = "openvino_model.xml"
BODY = 7 * BLOCKS
TEXT = "the man in the inn"


def test_a_decoder_comes_with_its_tokenizer(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    before = contents(llama_folder)
    found = ovpass.succeed("convert", llama_folder, "-o", tmp_path / "out", "--json").json
    assert (found["source"], found["task"]) == ("Hugging Face", "text-generation-with-past")
    assert (found["tokenizer"], found["notes"]) == (True, [])
    (model,) = found["models"]
    assert model["sites"] == 0
    assert sum(layers["count"] for layers in model["layers"]) == BODY + 1
    assert all(layers["weights"].startswith("f16") for layers in model["layers"])
    assert contents(llama_folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    ids = np.array([[3, 40, 41, 260, 7]])
    # weights are the same f16 in both, so only the order of sums differs
    np.testing.assert_allclose(logits(tmp_path / "out", ids), torch_logits(llama_folder, ids), atol=1e-4)


def test_the_tokenizer_is_that_of_the_folder(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    ovpass.succeed("convert", llama_folder, "-o", tmp_path / "out", "--quiet")
    importlib.import_module("openvino_tokenizers")
    tokenizer = ov.Core().compile_model(tmp_path / "out/openvino_tokenizer.xml", "CPU")
    expected = importlib.import_module("transformers").AutoTokenizer.from_pretrained(llama_folder)(TEXT)["input_ids"]
    assert tokenizer([TEXT])["input_ids"][0].tolist() == expected


def test_fp32(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    found = ovpass.succeed("convert", llama_folder, "-o", tmp_path / "out", "--weight-format", "fp32", "--json").json
    assert all(layers["weights"].startswith("f32") for layers in found["models"][0]["layers"])


def test_an_encoder_through_to_verification(ovpass: CommandLine, bert_folder: Path, tmp_path: Path) -> None:
    """Its own task is told by its class; what comes out can be compressed, applied and proved."""
    found = ovpass.succeed("convert", bert_folder, "-o", tmp_path / "ov", "--json").json
    assert (found["task"], found["tokenizer"]) == ("feature-extraction", True)
    ovpass.succeed("compress", tmp_path / "ov", "-o", tmp_path / "int8", "--quiet")
    ovpass.succeed("apply", tmp_path / "int8", "-o", tmp_path / "out", "--target", "cpu", "--group-size", 32, "--quiet")
    assert ovpass.succeed("verify", tmp_path / "out", "--device", "CPU", "--json").json["ok"]


@pytest.mark.parametrize(
    ("method", "options", "weights"),
    [
        ("gptq", {}, "u4 asymmetric g32"),
        ("gptq", {"sym": True}, "i4 symmetric g32"),
        ("gptq", {"group": 64, "checkpoint_format": "gptq_v2"}, "u4 asymmetric g64"),
        ("gptq", {"group": -1}, "u4 asymmetric per-channel"),
        ("gptq", {"desc_act": True}, "u4 asymmetric g32"),
        ("gptq", {"bits": 2}, "u4 asymmetric g32"),
        ("gptq", {"bits": 8}, "u8 asymmetric g32"),
        ("gptq", {"bits": 8, "sym": True}, "i8 symmetric g32"),
        ("awq", {}, "u4 asymmetric g32"),
    ],
    ids=["gptq", "symmetric", "v2", "per-channel", "desc-act", "2-bit", "8-bit", "8-bit-symmetric", "awq"],
)
def test_packed_weights_stay_what_they_are(
    ovpass: CommandLine, llama_folder: Path, tmp_path: Path, method: str, options: dict[str, Any], weights: str
) -> None:
    expected = pack(llama_folder, tmp_path / "in", method, **options)
    found = ovpass.succeed("convert", tmp_path / "in", "-o", tmp_path / "out", "--json").json
    (model,) = found["models"]
    assert model["sites"] == BODY
    assert {e["weights"].rpartition(" ")[0] for e in model["layers"] if e["compressed"]} == {weights}
    assert bool(found["notes"]) == bool(options.get("desc_act"))
    sites = find_compressed_matmuls(ov.Core().read_model(tmp_path / "out" / NAME))
    assert len(sites) == BODY
    for site in sites:
        module = site.name.removeprefix("__module.").partition("/")[0]
        own = evaluate(site.matmul.input_value(site.weights_input))
        # inputs that are reordered leave the product as it is: compare that
        reordered = site.activation.get_node().get_type_name() == "Gather"
        order = site.activation.get_node().input_value(1).get_node().data if reordered else slice(None)
        assert np.array_equal(own.reshape(expected[module].shape), expected[module][:, order])
    ids = np.array([[3, 40, 41, 260, 7]])
    # f32 sums in another order
    np.testing.assert_allclose(
        logits(tmp_path / "out", ids), torch_logits(llama_folder, ids, expected), atol=1e-3, rtol=1e-3
    )
    assert found["tokenizer"]
    assert "quantization_config" not in json.loads((tmp_path / "out/config.json").read_text())


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_packed_through_to_verification(ovpass: CommandLine, llama_folder: Path, tmp_path: Path, method: str) -> None:
    pack(llama_folder, tmp_path / "in", method)
    ovpass.succeed("convert", tmp_path / "in", "-o", tmp_path / "ov", "--quiet")
    sites = ovpass.succeed("inspect", tmp_path / "ov", "--target", "cpu", "--json").json["sites"]
    assert all(site["eligible"] for site in sites)
    ovpass.succeed("apply", tmp_path / "ov", "-o", tmp_path / "out", "--target", "cpu", "--group-size", 32, "--quiet")
    report = ovpass.succeed("verify", tmp_path / "out", "--device", "CPU", "--json").json
    assert report["ok"]
    assert [site["found"] for site in report["sites"]] == [32] * BODY


def edited(source: Path, folder: Path, **changes: Any) -> Path:
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("changes", "options", "named"),
    [
        ({"model_type": "nothing-known"}, (), "nothing-known"),
        ({}, ("--task", "image-classification"), "image-classification"),
        ({"num_hidden_layers": "many"}, (), "many"),
    ],
)
def test_what_the_exporter_refuses_is_said_in_one_line(
    ovpass: CommandLine,
    llama_folder: Path,
    tmp_path: Path,
    changes: dict[str, Any],
    options: tuple[str, ...],
    named: str,
) -> None:
    source = edited(llama_folder, tmp_path / "in", **changes)
    assert named in ovpass.refuse("convert", source, "-o", tmp_path / "out", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("method", "options", "named"),
    [
        ("gptq", {"checkpoint_format": "marlin"}, "marlin"),
        ("awq", {"version": "gemv"}, "gemv"),
    ],
)
def test_packed_formats_that_are_not_known(
    ovpass: CommandLine, llama_folder: Path, tmp_path: Path, method: str, options: dict[str, Any], named: str
) -> None:
    pack(llama_folder, tmp_path / "in", method, **options)
    assert named in ovpass.refuse("convert", tmp_path / "in", "-o", tmp_path / "out")


@pytest.mark.parametrize("cut", [slice(0, 64), slice(None, None, -1)], ids=["short", "shifted"])
def test_inputs_whose_groups_do_not_fit(ovpass: CommandLine, llama_folder: Path, tmp_path: Path, cut: slice) -> None:
    pack(llama_folder, tmp_path / "in", "gptq")
    files = importlib.import_module("safetensors.numpy")
    path = tmp_path / "in/model.safetensors"
    tensors = files.load_file(path)
    name = next(name for name in tensors if name.endswith(".g_idx"))
    tensors[name] = tensors[name][cut].copy() + (cut.step == -1)
    files.save_file(tensors, path, metadata={"format": "pt"})
    assert name in ovpass.refuse("convert", tmp_path / "in", "-o", tmp_path / "out")


def test_weights_that_are_missing(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    pack(llama_folder, tmp_path / "in", "gptq")
    files = importlib.import_module("safetensors.numpy")
    path = tmp_path / "in/model.safetensors"
    tensors = files.load_file(path)
    name = next(name for name in tensors if name.endswith(".scales"))
    files.save_file({key: value for key, value in tensors.items() if key != name}, path, metadata={"format": "pt"})
    assert name in ovpass.refuse("convert", tmp_path / "in", "-o", tmp_path / "out")
