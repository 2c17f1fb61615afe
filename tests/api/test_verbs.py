"""The verbs do what the commands do, on paths and on models in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openvino as ov
import pytest

import ovpass
from ovpass.api.keywords import (
    ConversionKeywords,
    EvaluationKeywords,
    QuestionKeywords,
    RecipeKeywords,
    SettingsKeywords,
    WindowKeywords,
)
from ovpass.conversion.source import Options
from ovpass.planning.json_report import plans_to_dict
from ovpass.transformation.json_report import inspection_to_dict
from tests.builders import llama_model
from tests.cli.command import LLAMA, MODELS, CommandLine
from tests.compression.conftest import float_llama
from tests.passes.helpers import structure

SHORT: WindowKeywords = {"windows": 1, "window_tokens": 24, "tokenizer": LLAMA}


@pytest.fixture(scope="module")
def model() -> ov.Model:
    return ov.Core().read_model(LLAMA / "openvino_model.xml")


def names_of(*options: type[Any]) -> set[str]:
    return {field.name for of in options for field in fields(of)}


@pytest.mark.parametrize(
    ("keywords", "names"),
    [
        (SettingsKeywords, names_of(ovpass.Settings) | {"exempt"}),
        (QuestionKeywords, names_of(ovpass.Question)),
        (EvaluationKeywords, names_of(ovpass.Evaluation)),
        (ConversionKeywords, names_of(Options)),
        (RecipeKeywords, names_of(ovpass.Recipe, ovpass.Calibration)),
    ],
)
def test_keywords_are_the_fields_of_the_option_classes(keywords: type[Any], names: set[str]) -> None:
    assert keywords.__annotations__.keys() == names


def test_inspect_finds_what_the_command_does(command: CommandLine, model: ov.Model) -> None:
    printed = command("inspect", LLAMA, "--target", "cpu", "--match", "kind:mlp", "--json").json
    found = ovpass.inspect(LLAMA, target="cpu", match="kind:mlp")
    assert inspection_to_dict(LLAMA, "cpu", list(found.values())).items() <= printed.items()
    held = ovpass.inspect(model, target="cpu", match="kind:mlp")
    assert [(site.name, judged) for site, judged in held.entries] == [
        (site.name, judged) for site, judged in found[""].entries
    ]
    assert (held.ops, held.group_size, held.target) == (found[""].ops, found[""].group_size, "cpu")


def test_plan_decides_as_the_command_does(command: CommandLine, model: ov.Model) -> None:
    printed = command("plan", LLAMA, "--group-size", "64", "--exempt", "kind:lm_head", "--json").json
    plans = ovpass.plan(LLAMA, group_size=64, exempt="kind:lm_head")
    assert plans_to_dict(plans).items() <= printed.items()
    assert ovpass.plan(model, group_size=64, exempt=["kind:lm_head"]) == plans[""]


def test_keywords_override_settings_and_come_before_their_rules(model: ov.Model) -> None:
    base = ovpass.Settings(group_size=32, rules=(ovpass.Rule("kind:lm_head", group_size=64),))
    plan = ovpass.plan(model, base, group_size=128, exempt="kind:lm_head")
    assert {d.group_size for d in plan.chosen("quantize")} == {128}
    assert [d.kind for d in plan.chosen("exempt")] == ["lm_head"]


def test_settings_can_be_a_file(model: ov.Model, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("group_size: 32\n")
    assert ovpass.plan(model, tmp_path / "settings.yaml") == ovpass.plan(model, group_size=32)


def test_apply_takes_settings_a_plan_or_a_file(model: ov.Model, tmp_path: Path) -> None:
    plan = ovpass.plan(model, group_size=64)
    plan.save(tmp_path / "plan.yaml")
    by_plan, *others = (
        structure(changed)
        for changed in (
            ovpass.apply(model, plan),
            ovpass.apply(model, tmp_path / "plan.yaml"),
            ovpass.apply(model, ovpass.plan(LLAMA, group_size=64)),
            ovpass.apply(SimpleNamespace(model=model), group_size=64),
        )
    )
    assert all(other == by_plan for other in others)


def test_apply_writes_where_an_output_is_named(model: ov.Model, tmp_path: Path) -> None:
    folder = ovpass.apply(LLAMA, output=tmp_path / "folder", group_size=64)
    single = ovpass.apply(model, output=tmp_path / "single.xml", group_size=64)
    assert folder.plans == single.plans
    assert folder.weights[""] in ("linked", "copied")
    assert (tmp_path / "single.xml").is_file()


@pytest.mark.slow
@pytest.mark.vnni
def test_verify_asks_the_plugin_about_a_model_in_memory(model: ov.Model) -> None:
    applied = ovpass.apply(model, target="cpu", exempt="kind:lm_head")
    report = ovpass.verify(applied, device="CPU")
    assert report.ok
    assert [site.planned for site in report.sites].count(None) == 1
    other = ovpass.plan(model, target="cpu", exempt="kind:mlp.down")
    assert not ovpass.verify(applied, device="CPU", plans=other).ok


@pytest.mark.slow
def test_evaluate_names_models_in_memory(model: ov.Model) -> None:
    coarse = ovpass.apply(model, lowering="emulate", threshold=0)
    report = ovpass.evaluate(model, coarse, **SHORT)
    assert isinstance(report, ovpass.TextReport)
    assert report.candidates[0].model == model.get_friendly_name()
    assert all(candidate.total.kl.mean.value > 0 for candidate in report.candidates)


def test_tune_makes_the_experiment_of_the_command(model: ov.Model, tmp_path: Path) -> None:
    """It ends before it measures: nothing is left to quantize."""
    with pytest.raises(ovpass.OvpassError, match=r"kind:\*|exempt by rule"):
        ovpass.tune(model, max_kl=0.01, exempt="re:.*", state=tmp_path, workers=2, **SHORT)


@pytest.mark.slow
def test_compress_and_convert_write(tmp_path: Path) -> None:
    small = ovpass.compress(float_llama(tmp_path / "f"), tmp_path / "small", mode="int4_sym", group_size=64)
    assert {fmt.weight_group_size for made in small.models for fmt in made.formats} >= {64}
    held = ov.Core().read_model(tmp_path / "f" / "openvino_model.xml")
    alone = ovpass.compress(held, tmp_path / "alone.xml", mode="int4_sym", group_size=64)
    assert alone.models[0].formats == small.models[0].formats
    converted = ovpass.convert(MODELS / "onnx" / "dynamic_fused.onnx", tmp_path / "converted")
    assert ovpass.inspect(converted.output)[""].entries


@pytest.mark.slow
def test_report_is_of_runs_or_of_a_model(command: CommandLine, model: ov.Model, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(command("plan", LLAMA, "--json").out)
    saved = ovpass.report(tmp_path / "plan.json", note="<of a run>", output=tmp_path / "report.html")
    assert saved.output is not None
    assert saved.output.read_text() == saved.html
    assert "&lt;of a run&gt;" in saved.html
    made = ovpass.report(model, run=["inspect", "plan --group-size 64"])
    assert made.output is None
    assert "<title>model" in made.html


REFUSED: dict[str, Callable[[ov.Model], object]] = {
    "did you mean 'group_size'": lambda model: ovpass.plan(model, groupsize=3),  # type: ignore[call-overload]
    "name the output": lambda _: ovpass.apply(str(LLAMA)),
    "plan: a plan has its settings": lambda model: ovpass.apply(model, ovpass.plan(model), group_size=32),
    "set a budget": ovpass.tune,
    "has its limits in it": lambda model: ovpass.tune(model, ovpass.Budget(max_kl=1), max_kl=1),
    "tune chooses it": lambda model: ovpass.tune(model, max_kl=1, group_size=32),
    "an Experiment has its settings": lambda _: ovpass.tune(ovpass.Experiment(LLAMA), max_kl=1, windows=2),
    "there is one host": lambda model: ovpass.tune(model, max_kl=1, mixed_hosts=True),
    "both name a device": lambda model: ovpass.tune(model, max_kl=1, target="cpu", profile="gpu-xmx"),
    "int is no ov.Model": lambda _: ovpass.verify(3),
    "the plan is for the models": lambda model: ovpass.apply(model, {"other": ovpass.plan(model)}),
}


@pytest.mark.parametrize("told", REFUSED)
def test_what_is_refused(model: ov.Model, told: str) -> None:
    with pytest.raises(ovpass.OvpassError, match=told):
        REFUSED[told](model)


def test_a_model_in_memory_does_not_change(model: ov.Model) -> None:
    model = llama_model()
    before = structure(model)
    ovpass.inspect(model)
    ovpass.apply(model, group_size=32)
    assert structure(model) == before
