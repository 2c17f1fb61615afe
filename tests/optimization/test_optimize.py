"""One command makes a verified model of any source, resumes where it was interrupted, and refuses what cannot be."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import openvino as ov
import pytest
import yaml
from openvino import opset15

from ovpass.cli.main import cli
from ovpass.conversion.find_source import find_source
from ovpass.ir.files import open_source
from ovpass.optimization.estimates import count_weights
from ovpass.optimization.outline import outline_of
from ovpass.optimization.request import Request
from ovpass.planning.plan import load_plans
from ovpass.planning.recorded_plan import recorded_plan
from ovpass.support.cpu_features import has_vnni
from ovpass.tuning.presets import PRESETS
from tests.builders import linear_model, llama_model
from tests.cli.command import ENCODER, LLAMA, CommandLine, contents
from tests.conversion.test_convert import hugging_face
from tests.documents import ROOT
from tests.support.processes import wait_until

GGUF = ROOT / "tests/conversion/tiny-q4_1.gguf"
NOT_VERIFIED = () if has_vnni() else ("verify",)
"""Stages that a CPU without VNNI leaves out: it quantizes nothing that could be verified."""
SMALL = ("--windows", 1, "--window-tokens", 48)
ON_CPU = ("--target", "cpu", "--max-kl", 0.5, *SMALL)


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A model folder of its own."""
    return Path(shutil.copytree(LLAMA, tmp_path / "llama"))


def test_what_this_cpu_cannot_show_is_left_out(
    ovpass: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ovpass.targets.cpu.has_vnni", lambda: False)
    ran = ovpass.succeed("optimize", ENCODER, "-o", tmp_path / "out", "--target", "cpu", "--json").json
    assert "VNNI" in next(stage["left_out"] for stage in ran["stages"] if stage["command"] == "verify")
    assert "VNNI" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.slow
def test_an_ir_becomes_a_model_that_is_ready_to_run(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    before, out = contents(llama), tmp_path / "out"
    ran = ovpass.succeed("optimize", llama, "-o", out, *ON_CPU, "--kv", "u8", "--json")
    assert contents(llama) == before
    assert {path.name for path in tmp_path.iterdir()} == {"llama", "out"}  # the stages are gone
    assert set(contents(out)) >= {"plan.yaml", "report.html", "README.md", "generate.py", "openvino_tokenizer.xml"}
    assert set(ran.json) == {"output", "stages", "run", *(stage["command"] for stage in ran.json["stages"])}
    assert [stage["command"] for stage in ran.json["stages"] if stage["left_out"]] == [
        "convert",
        "compress",
        *NOT_VERIFIED,
    ]
    (plan,) = load_plans(out / "plan.yaml").values()
    (ir,) = open_source(out).models
    assert plan == recorded_plan(ir.document().metadata)
    assert plan.counts()["quantize"] == 15
    assert NOT_VERIFIED or ran.json["verify"]["ok"]
    assert ran.json["tune"]["kv_cache"]["chosen"]["options"].items() <= plan.settings.runtime_options.items()
    said = subprocess.run([sys.executable, out / "generate.py", "Hello"], capture_output=True, text=True, check=True)
    assert said.stdout.strip()
    # The card has a header and the numbers, and names nothing of this machine.
    _, header, text = (out / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(header)["base_model"] == "llama"
    assert f"with OpenVINO {ran.json['apply']['run']['openvino']}" in text
    assert f"{ran.json['evaluate']['candidates'][0]['top1_agreement']:.1f} %" in text
    assert "| KV cache | keys u8, values u8: " in text
    assert str(tmp_path) not in text
    commands = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("ovpass ")]
    assert [name for name, *_ in commands if name not in NOT_VERIFIED] == [
        name for name in ("tune", "apply", "verify", "evaluate") if name not in NOT_VERIFIED
    ]


@pytest.mark.slow
def test_a_run_goes_on_where_it_was(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    options = (llama, "-o", tmp_path / "out", "--work", work, *ON_CPU, "--overwrite", "--json")
    first = ovpass.succeed("optimize", *options).json
    mine = tmp_path / "out" / "mine.txt"
    mine.write_text("mine")
    assert "mine.txt" in ovpass.refuse("optimize", *options)
    mine.unlink()
    (work / "evaluate.json").unlink()
    again = ovpass.succeed("optimize", *options).json
    assert again["tune"] == first["tune"]  # with its date: it has not run again
    assert again["evaluate"]["run"]["date"] >= first["evaluate"]["run"]["date"]
    assert again["evaluate"]["candidates"][0]["kl"] == first["evaluate"]["candidates"][0]["kl"]
    other = ovpass.succeed("optimize", *options, "--max-ppl-increase", 90).json
    assert other["tune"]["run"] != first["tune"]["run"]
    assert other["apply"]["run"] != first["apply"]["run"]  # what it was made of has been made anew
    bin_file = llama / "openvino_model.bin"
    bin_file.write_bytes(bin_file.read_bytes())  # the same, but written anew
    assert ovpass.succeed("optimize", *options).json["tune"]["run"] != first["tune"]["run"]


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_plan(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", tmp_path / "whole"
    options = ["optimize", str(llama), "-o", str(out), *map(str, ON_CPU)]
    killed = subprocess.Popen(
        [sys.executable, "-m", "ovpass", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    measurements = tmp_path / "out.stages" / "measurements"
    wait_until(lambda: killed.poll() is not None or any(path.stat().st_size for path in measurements.glob("*.jsonl")))
    killed.kill()
    killed.communicate()
    assert not out.exists()
    ovpass.succeed(*options, "--quiet")
    ovpass.succeed("optimize", llama, "-o", whole, *ON_CPU, "--quiet")
    assert load_plans(out / "plan.yaml") == load_plans(whole / "plan.yaml")
    assert not (tmp_path / "out.stages").exists()


@pytest.mark.slow
def test_float_zero_points_are_dequantized_first(ovpass: CommandLine, tmp_path: Path) -> None:
    """Blocks of Q4_1 have a minimum, for which no plugin quantizes activations."""
    ran = ovpass.succeed("optimize", GGUF, "-o", tmp_path / "out", *ON_CPU, "--json").json
    assert "--exact" in ran["stages"][0]["arguments"]
    assert ran["compress"]["mode"] == "int8_sym"
    assert ran["apply"]["counts"]["quantize"] == 8


@pytest.mark.slow
def test_floating_point_weights_are_compressed(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    ov.save_model(llama_model(fmt="w_f16_plain", lm_head_fmt="w_f16_plain"), llama / "openvino_model.xml")
    ran = ovpass.succeed("optimize", llama, "-o", tmp_path / "out", *ON_CPU, "--weights", "int8_sym", "--json").json
    assert ran["compress"]["mode"] == "int8_sym"
    assert ran["evaluate"]["candidates"][0]["weights"] is not None  # compared with what was in floating point
    assert ran["apply"]["counts"]["quantize"] > 0


def test_a_model_that_is_no_language_model_gets_the_default(ovpass: CommandLine, tmp_path: Path) -> None:
    ran = ovpass.succeed("optimize", ENCODER, "-o", tmp_path / "out", "--target", "cpu", "--json").json
    left_out = {stage["command"] for stage in ran["stages"] if stage["left_out"]}
    assert left_out == {"convert", "compress", "tune", "evaluate", *NOT_VERIFIED}
    assert NOT_VERIFIED or ran["verify"]["ok"]
    assert not (tmp_path / "out" / "generate.py").exists()


def test_how_to_run_a_model_without_a_script(ovpass: CommandLine, tmp_path: Path) -> None:
    ran = ovpass.succeed("optimize", ENCODER, "-o", tmp_path / "out", "--target", "cpu")
    needed = "Compile with the property INFERENCE_PRECISION_HINT=f32."
    assert ran.out.splitlines()[-1].endswith(needed)
    assert needed in (tmp_path / "out" / "README.md").read_text().partition("## Run it")[2]


def test_a_model_is_laid_out_for_the_server(ovpass: CommandLine, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ran = ovpass.succeed("optimize", ENCODER, "-o", out, "--target", "cpu", "--layout", "ovms")
    command = f"ovms --config_path {out}/config.json"
    assert command in ran.out.splitlines()[-1]
    assert set(contents(out)) >= {"config.json", "plan.yaml", "report.html", "README.md"}
    assert (out / ENCODER.name / "1" / "model.xml").is_file()
    assert "ovms --config_path config.json" in (out / "README.md").read_text()
    (plan,) = load_plans(out / "plan.yaml").values()
    assert plan.counts()["quantize"] > 0
    ovpass.succeed("optimize", ENCODER, "-o", out, "--target", "cpu", "--layout", "ovms", "--overwrite", "--quiet")


@pytest.mark.slow
def test_a_budget_that_nothing_meets(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    ran = ovpass("optimize", llama, "-o", tmp_path / "out", "--target", "cpu", "--max-kl", 1e-9, *SMALL)
    assert ran.code == 1
    assert "the nearest plan quantizes" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_dry_run_shows_commands_that_can_be_typed(ovpass: CommandLine, tmp_path: Path) -> None:
    for source in (LLAMA, ENCODER, GGUF, hugging_face(tmp_path / "hf")):
        out = ovpass.succeed("optimize", source, "-o", tmp_path / "out", "--dry-run").out
        typed = [shlex.split(line, comments=True)[1:] for line in out.splitlines() if line.startswith("ovpass ")]
        assert "verify" in [name for name, *_ in typed]
        for name, *arguments in typed:
            command = cli.get_command(None, name)  # type: ignore[arg-type]
            assert command is not None
            command.make_context(name, list(arguments))
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


def test_a_dry_run_tells_what_the_stages_take(ovpass: CommandLine, tmp_path: Path) -> None:
    def told(source: Path, *options: object) -> dict[str, float]:
        told = ovpass.succeed("optimize", source, "-o", tmp_path / "out", "--dry-run", *options, "--json").json
        return dict(told["estimate"])

    gguf, llama = told(GGUF), told(LLAMA)
    assert gguf["disk"] > llama["disk"] == 0  # nothing but links is written where nothing is converted
    assert told(LLAMA, "--windows", 4)["minutes"] > llama["minutes"] > 0
    out = ovpass.succeed("optimize", GGUF, "-o", tmp_path / "out", "--dry-run").out.splitlines()
    assert "MB on disk" in out[-1]


def test_a_preset_is_a_budget(ovpass: CommandLine, tmp_path: Path) -> None:
    def budget(*options: object) -> str:
        out = ovpass.succeed("optimize", LLAMA, "-o", tmp_path / "out", "--dry-run", *options).out
        return out.partition("--max-kl ")[2].split()[0]

    assert budget() == budget("--preset", "balanced") == f"{PRESETS['balanced']:g}"
    assert float(budget("--preset", "safe")) < float(budget()) < float(budget("--preset", "fast"))


def test_memory_chooses_the_compression(ovpass: CommandLine, tmp_path: Path) -> None:
    def mode(memory: str) -> str:
        ran = ovpass.succeed("optimize", GGUF, "-o", tmp_path / "out", "--memory", memory, "--dry-run")
        return str(ran.out.partition("--mode ")[2].split()[0])

    weights = count_weights(find_source(GGUF))
    assert (mode("1GB"), mode(f"{weights}")) == ("int8_sym", "int4_sym")
    refused = ovpass.refuse("optimize", GGUF, "-o", tmp_path / "out", "--memory", f"{weights // 2}")
    assert "--memory" in refused
    assert "as it is compressed" in ovpass.refuse("optimize", LLAMA, "-o", tmp_path / "out", "--memory", "1KB")


def test_too_small_a_disk_is_told_before_it_starts(
    ovpass: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ovpass.optimization.estimates.shutil.disk_usage", lambda _: Namespace(free=1000))
    assert "--work" in ovpass.refuse("optimize", GGUF, "-o", tmp_path / "out")
    assert not contents(tmp_path)


@pytest.mark.parametrize(
    ("source", "options", "package", "extra"),
    [
        (LLAMA, (), "jinja2", "report"),
        (LLAMA, (), "scipy", "eval"),
        (LLAMA, ("--max-task-drop", 2), "lm_eval", "eval"),
        (LLAMA, ("--max-task-drop", 2), "openvino_genai", "genai"),
        (GGUF, (), "gguf", "gguf"),
        (GGUF, (), "nncf", "compress"),
    ],
)
def test_a_missing_package_is_named_before_anything_runs(
    ovpass: CommandLine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: Path,
    options: tuple[object, ...],
    package: str,
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    refused = ovpass.refuse("optimize", source, "-o", tmp_path / "out", *options)
    assert package in refused
    assert f"ovpass[{extra}]" in refused
    assert not contents(tmp_path)


def test_packages_of_stages_that_are_left_out_are_not_needed(
    ovpass: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("nncf", "scipy", "openvino_genai"):
        monkeypatch.setitem(sys.modules, package, None)
    ovpass.succeed("optimize", ENCODER, "-o", tmp_path / "out", "--target", "cpu", "--quiet")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target", "arc-b581"), "did you mean"),
        (("--memory", "lots"), "8GB"),
        (("--memory", "8GB", "--weights", "int4_sym"), "leave out --weights"),
        (("--weights", "int5"), "int4_sym"),
        (("--max-kl", -1, *SMALL), "--max-kl"),
        (("--preset", "brave", *SMALL), "balanced"),
        (("--preset", "fast", "--max-kl", 1, *SMALL), "leave it out"),
        (("--windows", 0), "window"),
        (("--target", "arc-b580", "--window-tokens", 64), "above 64 tokens"),
        (("--layout", "triton"), "ovms"),
        (("--work", LLAMA), "no stages"),
    ],
)
def test_what_cannot_be_asked(ovpass: CommandLine, tmp_path: Path, options: tuple[object, ...], words: str) -> None:
    before = contents(LLAMA)
    assert words in ovpass.refuse("optimize", LLAMA, "-o", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()
    assert contents(LLAMA) == before


def test_a_text_that_is_none_is_told_before_the_source_is_converted(ovpass: CommandLine, tmp_path: Path) -> None:
    assert "nowhere.txt" in ovpass.refuse("optimize", GGUF, "-o", tmp_path / "out", "--text", tmp_path / "nowhere.txt")
    assert not contents(tmp_path)


def test_what_fails_at_once_leaves_nothing(ovpass: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("A few words.")
    ran = ovpass("optimize", LLAMA, "-o", tmp_path / "out", "--target", "cpu", "--text", tmp_path / "short.txt")
    assert (ran.code, "longer text" in ran.err) == (2, True)
    assert set(contents(tmp_path)) == {"short.txt"}


def test_interrupted_at_once_it_leaves_nothing(
    ovpass: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ovpass.optimization.optimize.run_pipeline", interrupted)
    assert ovpass("optimize", LLAMA, "-o", tmp_path / "out", *ON_CPU).code == 130
    assert not contents(tmp_path)


def test_a_name_on_a_hub_is_told_to_be_one(ovpass: CommandLine, tmp_path: Path) -> None:
    assert "download it first" in ovpass.refuse("optimize", "some-owner/some-model", "-o", tmp_path / "out")


def test_outputs_that_are_not_free(ovpass: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert "overlaps" in ovpass.refuse("optimize", LLAMA, "-o", LLAMA / "out", *ON_CPU)
    for name, options in (("full", ()), ("full", ("--overwrite",)), ("file", ("--overwrite",)), ("out.xml", ())):
        assert name in ovpass.refuse("optimize", LLAMA, "-o", tmp_path / name, *ON_CPU, *options)
    assert "none" in ovpass.refuse("optimize", tmp_path / "none", "-o", tmp_path / "out")
    assert set(contents(tmp_path)) == {"full", "full/mine.txt", "file"}


@pytest.mark.usefixtures("simulated_gpu")
def test_a_simulated_device_proves_it(ovpass: CommandLine, tmp_path: Path) -> None:
    ran = ovpass.succeed("optimize", ENCODER, "-o", tmp_path / "out", "--target", "arc-a770", "--json").json
    assert (ran["verify"]["simulated"], ran["verify"]["ok"]) == ("arc-a770", True)
    assert ran["apply"]["settings"]["target"] == "arc-a770"


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A folder of two models, one of which compiles nowhere: its input may have any rank."""
    folder = tmp_path / "pipeline"
    shutil.copytree(ENCODER, folder / "text_encoder")
    model = linear_model("w_f16_plain")
    model.get_parameters()[0].set_partial_shape(ov.PartialShape.dynamic())
    model.validate_nodes_and_infer_types()
    (folder / "unet").mkdir()
    ov.save_model(model, folder / "unet/openvino_model.xml")
    return folder


def test_models_without_a_plan_need_not_compile(ovpass: CommandLine, pipeline: Path, tmp_path: Path) -> None:
    ovpass.succeed("optimize", pipeline, "-o", tmp_path / "out", "--target", "cpu", "--quiet")


def test_models_that_do_not_compile_are_named_before_any_work(
    ovpass: CommandLine, pipeline: Path, tmp_path: Path
) -> None:
    shutil.rmtree(pipeline / "text_encoder")
    shutil.copytree(pipeline / "unet", pipeline / "vae")
    before = contents(tmp_path)
    refused = ovpass.refuse("optimize", pipeline, "-o", tmp_path / "out", "--target", "cpu", "--quiet")
    assert str(pipeline / "unet/openvino_model.xml") in refused
    assert str(pipeline / "vae/openvino_model.xml") in refused
    assert "rank" in refused
    assert contents(tmp_path) == before


@pytest.mark.usefixtures("simulated_gpu")
def test_an_op_that_a_device_lacks_is_named_before_any_work(ovpass: CommandLine, tmp_path: Path) -> None:
    model = linear_model()
    end = model.get_results()[0].input(0)
    end.replace_source_output(opset15.inverse(end.get_source_output()).output(0))
    ov.save_model(model, tmp_path / "model.xml")
    before = contents(tmp_path)
    refused = ovpass.refuse(
        "optimize", tmp_path / "model.xml", "-o", tmp_path / "out", "--target", "arc-a770", "--quiet"
    )
    assert "type Inverse" in refused
    assert contents(tmp_path) == before


def test_what_is_left_shrinks_from_stage_to_stage() -> None:
    left = list(outline_of(Request(GGUF, Path("out"), target="cpu")).minutes_left().values())
    assert left == sorted(left, reverse=True)
    assert left[0] > left[1]
