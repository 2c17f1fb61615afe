"""ovpass report, from runs and straight from a model."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.command import ENCODER, LLAMA, CommandLine, contents
from tests.reporting.made import header, inspect, names, plan, saved


def test_from_runs_that_commands_printed(tmp_path: Path, ovpass: CommandLine) -> None:
    for name, arguments in {"inspect": (), "plan": ("--exempt", "kind:attn.v")}.items():
        (tmp_path / f"{name}.json").write_text(ovpass.succeed(name, LLAMA, *arguments, "--json").out)
    ovpass.succeed("report", tmp_path / "inspect.json", tmp_path / "plan.json", "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('class="cell" href=') == 15
    assert "--exempt kind:attn.v" in page


@pytest.mark.slow
def test_straight_from_a_model(tmp_path: Path, ovpass: CommandLine) -> None:
    """What it runs can be run again by the commands in it."""
    orders = ("--run", "inspect,plan", "--run", "evaluate {model}@64 --windows 1 --window-tokens 66")
    ran = ovpass.succeed("report", LLAMA, *orders, "-o", tmp_path / "report.html")
    assert "report.html" in ran.out
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    again = re.findall(r"^(?:<pre[^>]*>)?ovpass (.*) --json &gt; (\S+\.json)", page, re.MULTILINE)
    assert [name for _, name in again] == ["inspect.json", "plan.json", "evaluate.json"]
    assert again[2][0].split()[:3] == ["evaluate", str(LLAMA), f"{LLAMA}@64"]
    for words, name in again:
        assert ovpass.succeed(*words.split(), "--json").json["run"]["command"] == name.removesuffix(".json")


def test_a_failed_check_is_shown_and_not_a_failure(tmp_path: Path, ovpass: CommandLine) -> None:
    """The plan is for groups that the device is told not to use."""
    plan_file = tmp_path / "plan.yaml"
    ovpass.succeed("plan", LLAMA, "--target", "cpu", "--group-size", "32", "-o", plan_file, "--quiet")
    order = f"verify --device CPU --plan {plan_file} --property DYNAMIC_QUANTIZATION_GROUP_SIZE=0"
    ran = ovpass("report", LLAMA, "--run", order, "-o", tmp_path / "report.html")
    assert ran.code == 0
    assert "Not as planned" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_comparison(tmp_path: Path, ovpass: CommandLine) -> None:
    before, after = saved([plan(names(15)), plan(names(15), exempt=["lm_head"])], tmp_path)
    ovpass.succeed("report", after, "--against", before, "-o", tmp_path / "report.html", "--quiet")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('class="cell" href=') == 30


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("damaged.json",), "damaged.json"),
        (("missing.json",), "missing.json"),
        (("good.json", "other.json"), "different models"),
        (("good.json", "good.json"), "--against"),
        ((LLAMA,), "--run"),
        ((LLAMA, "--run", "inspect,nonsense"), "nonsense"),
        ((LLAMA, "--run", "'"), "--run"),
        ((LLAMA, "good.json", "--run", "evaluate,inspect"), "--against"),
        (("log.json",), "--intercept-log"),
        ((LLAMA, "--run", ""), "--run"),
        ((LLAMA, "--run", "verify --install-help"), "--install-help"),
        ((LLAMA, "--run", "inspect --help"), "--help"),
        ((LLAMA, "--run", "inspect -h"), "-h"),
        ((LLAMA, "--run", "verify --intercept-log=log.txt"), "--intercept-log"),
        (("x" * 300,), "xxx"),
        ((LLAMA, ENCODER, "--run", "inspect"), "one MODEL"),
        (("good.json", "--run", "inspect"), "one MODEL"),
        ((LLAMA, "--run", "tune"), "budget"),
        ((ENCODER, "good.json", "--run", "plan"), "different models"),
        ((LLAMA, "--run", "inspect --match kind:nothing"), "kind:nothing"),
    ],
    ids=str,
)
def test_refusals_leave_no_file(
    arguments: tuple[str, ...], named: str, tmp_path: Path, ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.json").write_text(json.dumps(inspect(names(15))))
    other = plan(names(15))
    other["run"]["models"][0].update(sites="other", path="models/other")
    Path("other.json").write_text(json.dumps(other))
    Path("log.json").write_text(json.dumps({"dynamic_quantize_calls": 1, "kernels": [], "run": header("verify")}))
    Path("damaged.json").write_text(json.dumps(inspect(names(15)))[:-9])
    before = contents(tmp_path)
    assert named in ovpass.refuse("report", *arguments, "-o", "report.html")
    assert contents(tmp_path) == before


def test_conflicts_are_found_before_anything_runs(
    tmp_path: Path, ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = saved([inspect(names(15))], tmp_path)
    monkeypatch.setattr("ovpass.cli.report_runs._run", lambda *_: pytest.fail("it ran"))
    ovpass.refuse("report", LLAMA, path, "--run", "plan,inspect", "-o", tmp_path / "report.html")


def test_a_run_is_never_written_over(tmp_path: Path, ovpass: CommandLine) -> None:
    (path,) = saved([inspect(names(15))], tmp_path)
    before = contents(tmp_path)
    ovpass.refuse("report", path, "-o", path)
    ovpass.refuse("report", path, "-o", tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["thesis.html", "pipe", "loop", "x" * 300, "folder"])
def test_what_is_no_page_of_ovpass_is_never_replaced(name: str, tmp_path: Path, ovpass: CommandLine) -> None:
    (path,) = saved([inspect(names(15))], tmp_path)
    (tmp_path / "thesis.html").write_text("<!DOCTYPE html><p>my thesis")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "folder").mkdir()
    there = sorted(tmp_path.iterdir())
    assert name[:99] in ovpass.refuse("report", path, "-o", tmp_path / name)
    assert sorted(tmp_path.iterdir()) == there
    assert (tmp_path / "thesis.html").read_text() == "<!DOCTYPE html><p>my thesis"
    assert (tmp_path / "pipe").is_fifo()


def test_pages_of_ovpass_are_replaced_where_links_lead_to(tmp_path: Path, ovpass: CommandLine) -> None:
    (path,) = saved([inspect(names(15))], tmp_path)
    (tmp_path / "link.html").symlink_to("page.html")
    for _ in range(2):
        ovpass.succeed("report", path, "-o", tmp_path / "link.html")
        assert (tmp_path / "link.html").is_symlink()
        assert (tmp_path / "page.html").read_text().endswith("</html>")


def test_names_that_are_no_text_are_shown_as_escapes(tmp_path: Path, ovpass: CommandLine) -> None:
    odd = os.fsdecode(b"mod\xff")
    model = shutil.copytree(LLAMA, tmp_path / odd)
    ovpass.succeed("report", model, "--run", "plan", "--note", odd, "-o", tmp_path / f"{odd}.html")
    assert (tmp_path / f"{odd}.html").read_text(encoding="utf-8").count("mod\\udcff") > 3
    (path,) = saved([inspect(["\ud800", "\x00\u202e", *names(15)[2:]])], tmp_path)
    path = path.rename(tmp_path / f"{odd}.json")
    ovpass.succeed("report", path, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for escaped in ("\\ud800", "\\x00\\u202e"):
        assert f'<span class="name">{escaped}</span>' in page


def test_without_the_extra_it_is_named(tmp_path: Path, ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = saved([inspect(names(15))], tmp_path)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert "ovpass[report]" in ovpass.refuse("report", path, "-o", tmp_path / "report.html")
