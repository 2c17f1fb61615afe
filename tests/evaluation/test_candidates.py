"""The grammar of candidates."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovpass import Rule
from ovpass.errors import RenamedWarning, SettingsError
from ovpass.evaluation.candidates import parse_candidate
from ovpass.targets.group_sizes import PER_TOKEN


def test_a_model_as_it_is() -> None:
    candidate = parse_candidate("some/model")
    assert candidate.plain
    assert not candidate.changed
    assert candidate.path == Path("some/model")


@pytest.mark.parametrize(
    ("text", "group_size", "target"),
    [
        ("m@per-token", PER_TOKEN, "gpu-xmx"),
        ("m@64", 64, "gpu-xmx"),
        ("m@group_size=32,profile=cpu", 32, "cpu"),
        ("m@group_size=32, profile=gpu-no-xmx", 32, "gpu-no-xmx"),
        ("m@profile=cpu", None, "cpu"),
        ("m@target=cpu", None, "cpu"),
    ],
)
def test_settings(text: str, group_size: int | None, target: str) -> None:
    candidate = parse_candidate(text)
    assert candidate.settings is not None
    assert (candidate.settings.group_size, candidate.settings.target) == (group_size, target)
    assert candidate.settings.lowering == "native"
    assert (candidate.label, candidate.path) == (text, Path("m"))


def test_the_profile_of_those_that_name_none() -> None:
    assert parse_candidate("m@32", "cpu").profile == "cpu"
    assert parse_candidate("m@32,profile=gpu-xmx", "cpu").profile == "gpu-xmx"
    assert parse_candidate("m@32,profile=lnl").profile == "lunar-lake"


def test_profile_gpu_was_the_one_with_xmx() -> None:
    with pytest.warns(RenamedWarning, match="gpu-xmx"):
        assert parse_candidate("m@32,profile=gpu").profile == "gpu-xmx"


def test_no_profile_emulates_to_the_letter() -> None:
    candidate = parse_candidate("m@group_size=24,profile=none")
    assert candidate.settings is not None
    assert (candidate.profile, candidate.settings.lowering, candidate.settings.threshold) == (None, "emulate", 0)


def test_rules_flags_and_numbers() -> None:
    settings = parse_candidate("m@exempt=kind:mlp.down+layer:0,exempt=lm_head,symmetric=false,threshold=0").settings
    assert settings is not None
    assert settings.rules == (Rule("kind:mlp.down+layer:0", exempt=True), Rule("lm_head", exempt=True))
    assert (settings.symmetric, settings.threshold) == (False, 0)


def test_capitals_are_properties() -> None:
    candidate = parse_candidate("m@DYNAMIC_QUANTIZATION_GROUP_SIZE=32,INFERENCE_PRECISION_HINT=bf16")
    assert not candidate.changed
    assert not candidate.plain
    assert candidate.properties == {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "32", "INFERENCE_PRECISION_HINT": "bf16"}


def test_a_plan_beside_a_profile_and_properties() -> None:
    candidate = parse_candidate("m@plan=p.yaml,profile=cpu,NUM_STREAMS=1")
    assert (candidate.plan, candidate.settings, candidate.profile) == (Path("p.yaml"), None, "cpu")


def test_an_at_in_paths(tmp_path: Path) -> None:
    model = tmp_path / "a@b" / "model@2"
    model.mkdir(parents=True)
    assert parse_candidate(str(model)).path == model
    assert parse_candidate(f"{model}@32").path == model
    candidate = parse_candidate(f"{model}@plan={tmp_path}/a@b/plan.yaml")
    assert (candidate.path, candidate.plan) == (model, tmp_path / "a@b" / "plan.yaml")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("m@grop_size=3", "'group_size'"),
        ("m@profil=cpu", "'profile'"),
        ("m@exmpt=lm_head", "'exempt'"),
        ("m@rules=all", "rules"),
        ("m@profile=cpx", "cpu"),
        ("m@lowering=emulated", "'emulate'"),
        ("m@", "no setting"),
        ("m@,", "no setting"),
        ("m@group_size=-1", "group size"),
        ("m@half", "'half'"),
        ("m@threshold=some", "threshold=some"),
        ("m@symmetric=no", "symmetric=no"),
        ("m@exempt=kind:mlp.don", "kind:mlp.down"),
        ("m@plan=p.yaml,group_size=32", "plan"),
    ],
)
def test_mistakes_are_named(text: str, word: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_candidate(text)
    assert str(refused.value).startswith(text + ": ")
    assert word in str(refused.value).removeprefix(text)
