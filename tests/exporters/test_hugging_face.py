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

from ovpass.ir.constant_folding import evaluate
from ovpass.sites import find_compressed_matmuls
from tests.cli.command import CommandLine, contents
from tests.conversion.test_broken_torchvision import BROKEN
from tests.exporters.checkpoints import BLOCKS, pack, sd3
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


def test_a_broken_torchvision_is_no_obstacle(
    ovpass: CommandLine, llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torchvision.py").write_text(BROKEN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert ovpass.succeed("convert", llama_folder, "-o", tmp_path / "out", "--json").json["tokenizer"]


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


def without(source: Path, folder: Path, *parts: str) -> Path:
    """A copy without the tensors whose names have any of the parts."""
    shutil.copytree(source, folder)
    files = importlib.import_module("safetensors.numpy")
    path = folder / "model.safetensors"
    kept = {name: each for name, each in files.load_file(path).items() if not any(part in name for part in parts)}
    files.save_file(kept, path, metadata={"format": "pt"})
    return folder


def test_tensors_that_are_missing_are_not_made_up(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.q_proj.weight"
    source = without(llama_folder, tmp_path / "in", name)
    assert f"lack 1 tensor of LlamaForCausalLM, which would be random: {name}" in ovpass.refuse(
        "convert", source, "-o", tmp_path / "out"
    )
    deeper = edited(llama_folder, tmp_path / "deeper", num_hidden_layers=BLOCKS + 1)
    assert "lack 9 tensors" in ovpass.refuse("convert", deeper, "-o", tmp_path / "out")
    pack(llama_folder, tmp_path / "packed", "gptq")
    source = without(tmp_path / "packed", tmp_path / "less", "0.self_attn.q_proj.qweight")
    assert name in ovpass.refuse("convert", source, "-o", tmp_path / "out")


def test_tensors_that_nothing_is_made_of_are_named(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    source = edited(llama_folder, tmp_path / "in", num_hidden_layers=1)
    found = ovpass.succeed("convert", source, "-o", tmp_path / "out", "--json").json
    (note,) = found["notes"]
    assert "9 tensors of the folder" in note
    assert "model.layers.1." in note


def test_tied_weights_and_poolers_that_are_not_read_are_no_loss(
    ovpass: CommandLine, llama_folder: Path, bert_folder: Path, tmp_path: Path
) -> None:
    tied = without(edited(llama_folder, tmp_path / "in", tie_word_embeddings=True), tmp_path / "tied", "lm_head")
    assert ovpass.succeed("convert", tied, "-o", tmp_path / "a", "--json").json["notes"] == []
    bare = without(bert_folder, tmp_path / "bare", "pooler")
    assert ovpass.succeed("convert", bare, "-o", tmp_path / "b", "--json").json["notes"] == []
    assert "pooler" not in (tmp_path / "b/openvino_model.xml").read_text()


def test_tensors_of_another_shape(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    source = edited(llama_folder, tmp_path / "in", intermediate_size=512)
    refused = ovpass.refuse("convert", source, "-o", tmp_path / "out")
    assert "model.layers.0.mlp.down_proj.weight of LlamaForCausalLM is [128, 256] in the weights, [128, 512]" in refused


def test_a_configuration_of_packed_weights_over_plain_ones(
    ovpass: CommandLine, llama_folder: Path, tmp_path: Path
) -> None:
    source = edited(llama_folder, tmp_path / "in", quantization_config={"quant_method": "gptq", "bits": 4})
    refused = ovpass.refuse("convert", source, "-o", tmp_path / "out")
    assert all(word in refused for word in ("config.json", "gptq", "quantization_config"))


def test_scales_that_are_no_numbers(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    pack(llama_folder, tmp_path / "in", "gptq")
    files = importlib.import_module("safetensors.numpy")
    path = tmp_path / "in/model.safetensors"
    tensors = files.load_file(path)
    name = next(name for name in tensors if name.endswith(".scales"))
    tensors[name][0, 0] = np.nan
    files.save_file(tensors, path, metadata={"format": "pt"})
    assert f"{name} has values that are not finite" in ovpass.refuse("convert", tmp_path / "in", "-o", tmp_path / "out")


def test_a_tokenizer_is_not_made_up(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "in", ignore=shutil.ignore_patterns("tokenizer*"))
    found = ovpass.succeed("convert", tmp_path / "in", "-o", tmp_path / "out", "--json").json
    assert (found["tokenizer"], found["notes"]) == (False, [f"no tokenizer: {tmp_path / 'in'} has none"])
    assert not [path for path in (tmp_path / "out").iterdir() if "token" in path.name]


def test_a_tokenizer_that_is_damaged_is_carried_along(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "in")
    (tmp_path / "in/tokenizer.json").write_text("{}")
    found = ovpass.succeed("convert", tmp_path / "in", "-o", tmp_path / "out", "--json").json
    assert not found["tokenizer"]
    assert "the tokenizer was copied, not converted" in found["notes"][0]
    assert (tmp_path / "out/tokenizer.json").read_text() == "{}"


@pytest.fixture(scope="module")
def pipeline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that no test changes."""
    return sd3(tmp_path_factory.mktemp("sd3") / "hf")


def test_a_pipeline(ovpass: CommandLine, pipeline_folder: Path, tmp_path: Path) -> None:
    assert "--task text-to-image" in ovpass.refuse("convert", pipeline_folder, "-o", tmp_path / "out")
    task = ("--task", "text-to-image")
    found = ovpass.succeed("convert", pipeline_folder, "-o", tmp_path / "out", *task, "--json").json
    assert found["tokenizer"]
    assert {model["model"].partition("/")[0] for model in found["models"]} >= {"transformer", "text_encoder"}


def test_tensors_that_a_pipeline_lacks(ovpass: CommandLine, pipeline_folder: Path, tmp_path: Path) -> None:
    files = importlib.import_module("safetensors.numpy")
    shutil.copytree(pipeline_folder, tmp_path / "in")
    path = tmp_path / "in/transformer/diffusion_pytorch_model.safetensors"
    tensors = files.load_file(path)
    name = min(tensors)
    files.save_file({key: each for key, each in tensors.items() if key != name}, path, metadata={"format": "pt"})
    assert name in ovpass.refuse("convert", tmp_path / "in", "-o", tmp_path / "out", "--task", "text-to-image")


def test_weights_that_are_missing(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    pack(llama_folder, tmp_path / "in", "gptq")
    files = importlib.import_module("safetensors.numpy")
    path = tmp_path / "in/model.safetensors"
    tensors = files.load_file(path)
    name = next(name for name in tensors if name.endswith(".scales"))
    files.save_file({key: value for key, value in tensors.items() if key != name}, path, metadata={"format": "pt"})
    assert name in ovpass.refuse("convert", tmp_path / "in", "-o", tmp_path / "out")
