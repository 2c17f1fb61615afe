"""What cannot be done is said in one line, without a traceback, and leaves nothing behind."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from html import escape
from pathlib import Path

import openvino as ov
import pytest

from ovpass.planning.plan import load_plans
from tests.builders import linear_model
from tests.cli.command import ENCODER, LLAMA, CommandLine, contents

NAME = "openvino_model"


def no_weights(folder: Path) -> None:
    (folder / f"{NAME}.bin").unlink()


def cut_xml(folder: Path) -> None:
    text = (folder / f"{NAME}.xml").read_text()
    (folder / f"{NAME}.xml").write_text(text[: len(text) // 2])


def cut_weights(folder: Path) -> None:
    content = (folder / f"{NAME}.bin").read_bytes()
    (folder / f"{NAME}.bin").write_bytes(content[: len(content) // 2])


def html(folder: Path) -> None:
    (folder / f"{NAME}.xml").write_text("<html><body>404</body></html>")


def random_bytes(folder: Path) -> None:
    (folder / f"{NAME}.xml").write_bytes(random.Random(0).randbytes(5000))


def empty(folder: Path) -> None:
    (folder / f"{NAME}.xml").write_text("")


def no_layers(folder: Path) -> None:
    (folder / f"{NAME}.xml").write_text('<net name="model" version="11"></net>')


def plain_weights(folder: Path) -> None:
    ov.save_model(linear_model("w_f16_plain"), folder / f"{NAME}.xml", compress_to_fp16=False)


def no_element_type(folder: Path) -> None:
    text = (folder / f"{NAME}.xml").read_text()
    (folder / f"{NAME}.xml").write_text(text.replace('element_type="i8" ', ""))


def no_number(folder: Path) -> None:
    text = (folder / f"{NAME}.xml").read_text()
    (folder / f"{NAME}.xml").write_text(re.sub("<dim>[0-9]+</dim>", "<dim>x</dim>", text))


def no_edge(folder: Path) -> None:
    text = (folder / f"{NAME}.xml").read_text()
    (folder / f"{NAME}.xml").write_text(re.sub(r"<edge [^>]* to-port=\"1\" />", "", text))


DAMAGE = [
    *(no_element_type, no_number, no_edge, no_weights, cut_xml, cut_weights, html, random_bytes, empty, no_layers),
    plain_weights,
]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("command", ["inspect", "plan", "explain", "apply", "strip"])
def test_bad_models(ovpass: CommandLine, tmp_path: Path, command: str, damage: Callable[[Path], None]) -> None:
    model = tmp_path / "in"
    model.mkdir()
    for suffix in ("xml", "bin"):
        shutil.copyfile(ENCODER / f"{NAME}.{suffix}", model / f"{NAME}.{suffix}")
    damage(model)
    before = contents(tmp_path)
    output = ("-o", tmp_path / "out.xml") if command in ("apply", "strip") else ()
    assert str(model / f"{NAME}.xml") in ovpass.refuse(command, model / f"{NAME}.xml", *output)
    assert contents(tmp_path) == before


OF_PARTS = ['{"plan": {}}', '{"plan": {"decisions": [3]}}', '{"weights": 3}']
NOTES = ["{broken", "[1,2]", "null", "3", *OF_PARTS, "[" * 100_000, "9" * 5_000]


@pytest.mark.slow
@pytest.mark.parametrize("note", NOTES, ids=lambda note: note[:20])
def test_damaged_notes(ovpass: CommandLine, llama: Path, tmp_path: Path, note: str) -> None:
    ovpass.succeed("apply", llama, "-o", tmp_path / "applied")
    xml = tmp_path / "applied" / f"{NAME}.xml"
    text = re.sub(r'<note value="[^"]*"', f'<note value="{escape(note)}"', xml.read_text())
    xml.write_text(text)
    before = contents(tmp_path)
    assert ovpass("inspect", tmp_path / "applied", "--json").json["sites"]
    for command in (
        ["plan"],
        ["strip", "-o", tmp_path / "out"],
        ["verify", "--device", "CPU"],
        ["evaluate", llama],
        ["bench", "--device", "CPU"],
    ):
        message = ovpass.refuse(command[0], tmp_path / "applied", *command[1:])
        assert str(xml) in message
    assert contents(tmp_path) == before


@pytest.mark.parametrize("asked", ["{broken", "[1]", '{"MatMul": 3}', '{"MatMul": {}}', "[" * 500])
def test_damaged_records_of_what_a_file_asked_for(ovpass: CommandLine, llama: Path, asked: str) -> None:
    xml = llama / f"{NAME}.xml"
    xml.write_text(
        xml.read_text().replace("<rt_info>", f'<rt_info><ovpass><asked value="{escape(asked)}" /></ovpass>', 1)
    )
    for command in ("inspect", "plan"):
        assert str(xml) in ovpass.refuse(command, llama)


@pytest.mark.parametrize("command", ["inspect", "plan", "explain", "apply", "strip"])
def test_no_model_there(ovpass: CommandLine, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("text")
    (tmp_path / "dangling.xml").symlink_to("nowhere.xml")
    output = ("-o", tmp_path / "out") if command in ("apply", "strip") else ()
    for name in ("none", "none.xml", "empty", "text.txt", "dangling.xml"):
        assert name in ovpass.refuse(command, tmp_path / name, *output)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["model.gguf", "model.onnx", "folder/model.safetensors"])
def test_sources_of_other_formats_are_to_be_converted(ovpass: CommandLine, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    source = tmp_path / Path(name).parts[0]
    for command in ("inspect", "bench"):
        assert f"ovpass convert {source}" in ovpass.refuse(command, source)


@pytest.mark.parametrize("command", ["inspect", "plan", "explain", "apply", "strip", "evaluate", "bench", "convert"])
def test_a_model_without_a_name(
    ovpass: CommandLine, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell variable that is not set does not stand for the working folder, though that holds a model."""
    monkeypatch.chdir(LLAMA)
    output = ("-o", tmp_path / "out") if command in ("apply", "strip", "convert") else ()
    assert "empty" in ovpass.refuse(command, "", *output)
    for name in ("none", "a" * 300):
        assert name in ovpass.refuse(command, name, *output, *(["x"] if command == "evaluate" else []))
    assert not (tmp_path / "out").exists()


# settings, and words that the message must have to be of use
SETTINGS = [
    (["--lowering", "nativ"], ["native"]),
    (["--target", "gpu-xnx"], ["gpu-xmx"]),
    (["--exempt-with", "rank4"], ["rank-4"]),
    (["--group-size-of", "kind:attn", "off"], ["exempt"]),
    (["--group-size", "-1"], ["per-token"]),
    (["--group-size", "abc"], ["per-token"]),
    (["--group-size", "1.5"], ["per-token"]),
    (["--group-size", str(2**64)], ["per-token", "larger"]),
    (["--group-size-of", "kind:mlp.down", "0"], ["kind:mlp.down"]),
    (["--group-size-of", "kind:mlp.down", "48"], ["kind:mlp.down", "48"]),
    (["--threshold", "-1"], ["threshold"]),
    (["--threshold", str(10**20)], ["threshold", "larger"]),
    (["--threshold", "7", "--target", "cpu"], ["threshold", "emulate"]),
    (["--axis", "0"], ["axis", "emulate"]),
    (["--asymmetric", "--group-size", "32"], ["symmetric", "emulate"]),
    (["--requantize"], ["int8"]),
    (["--lowering", "emulate", "--group-size", "48"], ["48", "128", "32"]),
    (["--lowering", "int8"], ["--requantize", "i4"]),
    (["--lowering", "int8", "--requantize", "--group-size", "32"], ["per-token", "emulate"]),
    (["--exempt", "kind:mlp.dwn"], ["kind:mlp.down"]),
    (["--exempt", "layer:2"], ["layer:0-1"]),
    (["--exempt", "re:("], ["re:("]),
    (["--exempt", "__module.lm_head/aten::linear/MatMu"], ["__module.lm_head/aten::linear/MatMul"]),
    (["--exempt", ""], ["empty"]),
    (["--exempt", "kind:mlp.down", "--exempt-with", "f16-zero-point", "--target", "gpu-no-xmx"], ["f16-weights"]),
]


@pytest.mark.parametrize(("flags", "words"), SETTINGS)
def test_bad_settings(ovpass: CommandLine, tmp_path: Path, flags: list[str], words: list[str]) -> None:
    for command in (["plan", LLAMA, *flags], ["apply", LLAMA, "-o", tmp_path / "out", *flags]):
        message = ovpass.refuse(*command)
        assert all(word in message for word in words)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("group_sizes: 32", ["group_sizes", "group_size"]),
        ("rules: [{match: 'kind:attn', exmept: true}]", ["exmept", "exempt"]),
        ("threshold: many", ["threshold", "many"]),
        ("rules: [{match: 'kind:attn'}]", ["kind:attn"]),
        ("rules: {match: 'kind:attn', exempt: true}", ["rules", "list"]),
        ("rules: ['kind:attn']", ["names and values", "kind:attn"]),
        ("decisions: []", ["--plan"]),
        ("[1, 2]", ["list"]),
        ("a: [", ["line 1"]),
        ("", ["nothing"]),
    ],
)
def test_bad_settings_files(ovpass: CommandLine, tmp_path: Path, text: str, words: list[str]) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(text)
    message = ovpass.refuse("plan", LLAMA, "--config", config)
    assert all(word in message for word in [str(config), *words])


def test_missing_settings_file(ovpass: CommandLine, tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        assert str(path) in ovpass.refuse("plan", LLAMA, "--config", path)


@pytest.mark.parametrize(
    "args",
    [
        ["inspect", "--match", "kind:mpl"],
        ["inspect", "--match", ""],
        ["inspect", "--group-size", "0"],
        ["inspect", "--target", "npu"],
        ["explain", "--device", "NPU"],
        ["explain", "--property", "X"],
        ["explain", "--property", "=3"],
        ["explain", "--property", "DYNAMIC_QUANTIZATION_GROUP_SIZE=abc"],
    ],
)
def test_bad_questions(ovpass: CommandLine, args: list[str]) -> None:
    ovpass.refuse(args[0], LLAMA, *args[1:])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["evaluate", LLAMA, LLAMA, "--device", "GPU.7"], "OpenVINO sees no GPU.7"),
        (["bench", f"{LLAMA}@exempt=kind:mlp"], "MODEL@NAME=VALUE"),
        (["sensitivity", LLAMA, "--threshold", 0], "--threshold"),
        (["sensitivity", LLAMA, "--runtime-option", "KV_CACHE_PRECISION=u8"], "--runtime-option"),
        (["bisect", LLAMA], "--max-kl or --check"),
        (["report", LLAMA, "--run", "inspect --foo", "-o", "none.html"], "inspect: No such option"),
    ],
)
def test_what_to_write_instead(ovpass: CommandLine, args: list[object], said: str) -> None:
    assert said in ovpass.refuse(*args)


@pytest.mark.parametrize("command", ["plan", "sensitivity", "tune", "bisect"])
def test_models_in_floating_point_are_to_be_compressed(ovpass: CommandLine, tmp_path: Path, command: str) -> None:
    shutil.copytree(LLAMA, tmp_path / "float")
    plain_weights(tmp_path / "float")
    budget = ("--max-kl", 1) if command in ("tune", "bisect") else ()
    assert "ovpass compress" in ovpass.refuse(command, tmp_path / "float", *budget)


@pytest.mark.parametrize(
    "args", [[], ["nonsense"], ["inspect"], ["apply", str(LLAMA)], ["plan", str(LLAMA), "--axis", "x"]]
)
def test_bad_usage(ovpass: CommandLine, args: list[str]) -> None:
    ran = ovpass(*args)
    assert (ran.code, ran.out) == (2, "")
    assert "Usage" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (["inspct"], "'inspect'"),
        (["inspect", LLAMA, "--target", "GPU-XMX"], "'gpu-xmx'"),
        (["plan", LLAMA, "--target", "CPU"], "'cpu'"),
        (["verify", LLAMA, "--simulate", "arc-a780"], "'arc-a770'"),
        (["bisect", LLAMA, "--max-kl", 1, "--find", "frist"], "'first'"),
        (["sensitivity", LLAMA, "--by", "sites"], "'site'"),
        (["sensitivity", LLAMA, "--profile", "gpu-noxmx"], "'gpu-no-xmx'"),
        (["explain", LLAMA, "--device", "gpu-xnx"], "'gpu-xmx'"),
    ],
)
def test_what_was_meant(ovpass: CommandLine, args: list[object], meant: str) -> None:
    ran = ovpass(*args)
    assert ran.code == 2
    assert f"did you mean {meant}?" in ran.err


PLANS = {
    "no yaml": lambda _: "{",
    "no keys": lambda _: "[]",
    "nothing": lambda _: "",
    "no list": lambda _: "decisions: 3",
    "no models": lambda _: "models: 3",
    "code": lambda _: "!!python/object/apply:os.getpid []",
    "action": lambda text: text.replace("action: quantize", "action: quantise"),
    "kind": lambda text: text.replace("kind: attn.q", "kind: attn.x"),
    "layer": lambda text: text.replace("layer: 0", "layer: zero"),
    "unknown key": lambda text: text.replace("action: quantize", "action: quantize\n  colour: red"),
    "missing key": lambda text: text.replace("  action: quantize\n", ""),
    "method": lambda text: text.replace("action: quantize", "action: exempt\n  method: magic"),
    "method of another action": lambda text: text.replace("action: quantize", "action: quantize\n  method: precise"),
    "group size": lambda text: text.replace("group_size: per-token", "group_size: 0"),
    "no group size": lambda text: text.replace("  group_size: per-token\n", ""),
    "twice": lambda text: text + text[text.index("- name") :],
    "settings": lambda text: text.replace("settings: {}", "settings: {lowring: int8}"),
    "other weights": lambda text: text.replace("symmetric g32", "symmetric g64"),
}


@pytest.mark.parametrize("edit", PLANS.values(), ids=PLANS.keys())
def test_bad_plans(ovpass: CommandLine, tmp_path: Path, edit: Callable[[str], str]) -> None:
    plan = tmp_path / "plan.yaml"
    ovpass.succeed("plan", LLAMA, "-o", plan)
    edited = edit(plan.read_text())
    assert edited != plan.read_text()
    plan.write_text(edited)
    before = contents(tmp_path)
    ovpass.refuse("apply", LLAMA, "-o", tmp_path / "out", "--plan", plan)
    assert contents(tmp_path) == before


def test_plans_that_are_not_for_this_model(ovpass: CommandLine, tmp_path: Path, pair: Path) -> None:
    plan = tmp_path / "plan.yaml"
    ovpass.succeed("plan", ENCODER, "-o", plan)
    name = load_plans(plan)[""].decisions[0].name
    assert name.split("/")[0] in ovpass.refuse("apply", LLAMA, "-o", tmp_path / "out", "--plan", plan)
    assert "vision/openvino_model.xml" in ovpass.refuse("apply", pair, "-o", tmp_path / "out", "--plan", plan)
    ovpass.refuse("apply", LLAMA, "-o", tmp_path / "out", "--plan", tmp_path / "none.yaml")


@pytest.mark.parametrize("flag", [["--group-size", "32"], ["--asymmetric"], ["--exempt", "layer:0"]])
def test_a_plan_excludes_settings(ovpass: CommandLine, tmp_path: Path, flag: list[str]) -> None:
    plan = tmp_path / "plan.yaml"
    ovpass.succeed("plan", LLAMA, "-o", plan)
    assert "--plan" in ovpass.refuse("apply", LLAMA, "-o", tmp_path / "out", "--plan", plan, *flag)


def test_what_is_processed_is_not_processed_again(ovpass: CommandLine, tmp_path: Path) -> None:
    ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out")
    for command in (["plan"], ["apply", "-o", tmp_path / "twice"]):
        assert "strip" in ovpass.refuse(command[0], tmp_path / "out", *command[1:])
    assert "nothing to strip" in ovpass.refuse("strip", LLAMA, "-o", tmp_path / "back")


def test_requantized_weights_cannot_be_had_back(ovpass: CommandLine, tmp_path: Path) -> None:
    ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", "--lowering", "int8", "--requantize")
    assert "original" in ovpass.refuse("strip", tmp_path / "out", "-o", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_plan_is_replaced_only_when_told(ovpass: CommandLine, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("edited: by hand\n")
    for command in (("plan",), ("tune", "--max-kl", 1), ("bisect", "--max-kl", 1)):
        ovpass.refuse(*command, LLAMA, "-o", plan)
        assert plan.read_text() == "edited: by hand\n"
    ovpass.succeed("plan", LLAMA, "-o", plan, "--overwrite")
    assert load_plans(plan)
