"""Every command does its work on every form of model, and prints what it should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ovpass.planning.plan import load_plans
from ovpass.targets import TARGETS
from tests.cli.command import ENCODER, LLAMA, CommandLine, contents

SITE_KEYS = {
    "name",
    "kind",
    "layer",
    "k",
    "n",
    "weight_type",
    "weight_group_size",
    "symmetric",
    "activation_rank",
    "group_id",
    "eligible",
    "reason",
}
READING = ("inspect", "plan", "explain")


@pytest.mark.parametrize("model", [LLAMA, LLAMA / "openvino_model.xml", ENCODER])
@pytest.mark.parametrize("command", READING)
def test_reading_changes_nothing(ovpass: CommandLine, model: Path, command: str) -> None:
    folder = LLAMA if LLAMA in (model, *model.parents) else model
    before = contents(folder)
    assert ovpass.succeed(command, model).out
    assert contents(folder) == before


def test_inspect_json(ovpass: CommandLine) -> None:
    report = ovpass.succeed("inspect", LLAMA, "--json").json
    assert {"model", "target", "sites", "ops", "openvino"} <= report.keys()
    assert len(report["sites"]) == 15
    assert all(site.keys() >= SITE_KEYS for site in report["sites"])
    assert all(site["eligible"] for site in report["sites"])


def test_inspect_judges_by_the_flag_then_the_model_then_the_default(ovpass: CommandLine, tmp_path: Path) -> None:
    ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", "--group-size", 64)
    assert ovpass.succeed("inspect", LLAMA, "--json").json["group_size"] == "per-token"
    assert ovpass.succeed("inspect", tmp_path / "out", "--json").json["group_size"] == 64
    flagged = ovpass.succeed("inspect", tmp_path / "out", "--json", "--group-size", 48).json
    assert {site["eligible"] for site in flagged["sites"] if site["k"] == 128} == {False}


def test_inspect_can_be_narrowed(ovpass: CommandLine) -> None:
    report = ovpass.succeed("inspect", LLAMA, "--json", "--match", "kind:mlp.down").json
    assert [site["kind"] for site in report["sites"]] == ["mlp.down"] * 2


def test_plan_json(ovpass: CommandLine) -> None:
    report = ovpass.succeed("plan", LLAMA, "--json", "--exempt", "kind:lm_head", "--threshold", 128).json
    assert {"decisions", "counts", "run_environment"} <= report.keys()
    assert all({"name", "action", "group_size", "reason"} <= decision.keys() for decision in report["decisions"])
    assert report["counts"] == {"quantize": 14, "exempt": 1, "skip": 0}
    assert list(report["run_environment"].values()) == ["128"]


def test_explain_json(ovpass: CommandLine) -> None:
    report = ovpass.succeed("explain", LLAMA, "--json", "--device", "GPU").json
    assert [device["target"] for device in report["devices"]] == [
        name for name, target in TARGETS.items() if target.device == "GPU"
    ]


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (LLAMA, ["--group-size", "128"]),
        (LLAMA, ["--lowering", "int8", "--requantize"]),
        (LLAMA, ["--lowering", "emulate", "--group-size", "32"]),
        (ENCODER, ["--exempt", "kind:mlp.down"]),
        (ENCODER, ["--lowering", "int8"]),
    ],
)
def test_apply_json(ovpass: CommandLine, tmp_path: Path, model: Path, settings: list[str]) -> None:
    before = contents(model)
    report = ovpass.succeed("apply", model, "-o", tmp_path / "out", "--json", *settings).json
    planned = ovpass.succeed("plan", model, "--json", *settings).json
    assert {key: report[key] for key in planned if key != "run"} == {k: v for k, v in planned.items() if k != "run"}
    assert contents(model) == before
    assert set(contents(tmp_path / "out")) - {"ovpass_run.env"} == set(before)


def test_group_sizes_are_told_as_requested_and_as_they_become(ovpass: CommandLine) -> None:
    said = ovpass.succeed("plan", LLAMA, "--group-size", 256).out
    assert "group size 256 requested, effective 256 at 14 sites, 128 at 1 site" in " ".join(said.split())


def test_apply_carries_out_a_saved_plan(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    settings = ("--group-size", 64, "--exempt", "layer:1")
    ovpass.succeed("plan", llama, "-o", tmp_path / "plan.yaml", *settings)
    ovpass.succeed("apply", llama, "-o", tmp_path / "planned", "--plan", tmp_path / "plan.yaml")
    ovpass.succeed("apply", llama, "-o", tmp_path / "direct", *settings)
    assert contents(tmp_path / "planned") == contents(tmp_path / "direct")


def test_strip_gives_the_weights_back(ovpass: CommandLine, llama: Path, tmp_path: Path) -> None:
    ovpass.succeed("apply", llama, "-o", tmp_path / "out", "--exempt", "kind:mlp.down")
    report = ovpass.succeed("strip", tmp_path / "out", "-o", tmp_path / "back", "--json").json
    assert report["passes"][0]["changed"]
    assert contents(tmp_path / "back").keys() == contents(llama).keys()
    assert (tmp_path / "back/openvino_model.bin").read_bytes() == (llama / "openvino_model.bin").read_bytes()


def test_two_submodels_are_planned_and_changed_together(ovpass: CommandLine, pair: Path, tmp_path: Path) -> None:
    ovpass.succeed("plan", pair, "-o", tmp_path / "plan.yaml", "--quiet")
    assert list(load_plans(tmp_path / "plan.yaml")) == ["text/openvino_model.xml", "vision/openvino_model.xml"]
    report = ovpass.succeed("apply", pair, "-o", tmp_path / "out", "--plan", tmp_path / "plan.yaml", "--json").json
    assert report["counts"]["quantize"] == 15 + 12
    assert {decision["submodel"] for decision in report["decisions"]} == set(report["weights"])
    assert contents(tmp_path / "out").keys() == contents(pair).keys()
    ovpass.succeed("strip", tmp_path / "out", "-o", tmp_path / "back")
    assert contents(tmp_path / "back").keys() == contents(pair).keys()


def test_a_rule_needs_a_site_in_one_submodel_only(ovpass: CommandLine, pair: Path) -> None:
    report = ovpass.succeed("plan", pair, "--json", "--exempt", "kind:mlp.gate").json
    assert report["counts"]["exempt"] == 2
    assert "layer:0-1" in ovpass.refuse("plan", pair, "--exempt", "layer:7")


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("detail", [(), ("--verbose",)])
def test_tables_fit_a_pipe(ovpass: CommandLine, pair: Path, command: str, detail: tuple[str, ...]) -> None:
    device = ("--device", "GPU") if command == "explain" else ()
    lines = ovpass.succeed(command, pair, *detail, *device).out.splitlines()
    table = [line for line in lines if line.startswith(" ")]
    assert len(table) > 2
    assert max(map(len, table)) <= 80


@pytest.mark.slow
def test_verbose_lists_every_site(ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    names = [site["name"] for site in ovpass.succeed("inspect", LLAMA, "--json").json["sites"]]
    for command in ("inspect", "plan"):
        assert all(name in ovpass.succeed(command, LLAMA, "--verbose").out for name in names)
        assert names[0] not in ovpass.succeed(command, LLAMA).out


def test_quiet_prints_nothing(ovpass: CommandLine, tmp_path: Path) -> None:
    for command in READING:
        assert ovpass.succeed(command, LLAMA, "--quiet").out == ""
    assert ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", "--quiet").out == ""
    assert ovpass.succeed("strip", tmp_path / "out", "-o", tmp_path / "back", "--quiet").out == ""


def test_names_are_printed_as_they_are(
    ovpass: CommandLine, tmp_path: Path, llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Brackets in a name are no markup."""
    monkeypatch.setenv("COLUMNS", "300")
    xml = llama / "openvino_model.xml"
    name = "__module.lm_head/aten::linear/MatMul"
    xml.write_text(xml.read_text().replace(f'"{name}"', '"[/red]head[bold]"'))
    assert "[/red]head[bold]" in ovpass.succeed("plan", llama, "--verbose").out


def test_settings_come_from_a_file_and_flags_overrule_it(ovpass: CommandLine, tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("group_size: 64\nrules:\n- {match: 'kind:lm_head', exempt: true}\n")
    filed = ovpass.succeed("plan", LLAMA, "--config", config, "--json").json
    assert {d["group_size"] for d in filed["decisions"]} == {64, None}
    flagged = ovpass.succeed("plan", LLAMA, "--config", config, "--group-size", 32, "--json").json
    assert {d["group_size"] for d in flagged["decisions"]} == {32, None}


@pytest.mark.parametrize("args", [["--help"], ["--version"]])
def test_help_needs_none_of_the_libraries(args: list[str]) -> None:
    script = (
        "import sys; from ovpass.cli.main import cli\n"
        f"try: cli({args!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'openvino', 'numpy', 'yaml', 'rich', 'cattrs'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


@pytest.mark.parametrize("command", [*READING, "apply", "strip"])
def test_every_command_has_help(ovpass: CommandLine, command: str) -> None:
    assert "MODEL" in ovpass.succeed(command, "--help").out
    assert command in ovpass.succeed("--help").out


@pytest.mark.parametrize("command", ["inspect {}", "plan {} --group-size 32", "apply {} -o out --group-size 32"])
def test_what_changes_no_node_waits_for_no_openvino(command: str, tmp_path: Path) -> None:
    arguments = [part.format(LLAMA) for part in command.split()]
    script = (
        f"import sys; sys.argv = ['ovpass', *{arguments!r}]\n"
        "from ovpass.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print(sorted({'openvino', 'numpy'} & set(sys.modules)), file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stderr == "[]\n"


def test_common_options_come_before_the_rest(ovpass: CommandLine) -> None:
    """Those of the command itself, then settings, the common ones first, then what is seldom needed."""
    told = ovpass.succeed("tune", "--help").out
    order = (
        "Options:",
        "--max-kl",
        "--help",
        "Settings:",
        "--exempt",
        "More settings:",
        "--axis",
        "Search:",
        "--state",
    )
    places = [told.index(words) for words in order]
    assert places == sorted(places)


def test_shells_complete_commands_and_options() -> None:
    """By the protocol that the line of docs/install.md relies on."""
    assert completions("ovpass opt", 1) == ["optimize"]
    assert completions("ovpass optimize --max-", 2) == ["--max-kl", "--max-ppl-increase", "--max-task-drop"]


def completions(typed: str, place: int) -> list[str]:
    asked = {"_OVPASS_COMPLETE": "bash_complete", "COMP_WORDS": typed, "COMP_CWORD": str(place)}
    command = [sys.executable, "-m", "ovpass"]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    return [line.removeprefix("plain,") for line in done.stdout.split()]


def test_the_version_has_a_short_option(ovpass: CommandLine) -> None:
    assert ovpass.succeed("-V").out == ovpass.succeed("--version").out


def test_help_of_commands_waits_for_no_openvino() -> None:
    script = (
        "import sys; from ovpass.cli.main import cli\n"
        "for name in cli.list_commands(None): assert cli.get_command(None, name)\n"
        "print({'openvino', 'numpy', 'scipy'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
