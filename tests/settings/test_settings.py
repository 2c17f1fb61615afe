"""Settings and rules: what is accepted, what is refused, and that nothing is lost on the way to a file and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ovpass.cli.options import settings_from
from ovpass.errors import SettingsError
from ovpass.settings.lowerings import LOWERINGS
from ovpass.settings.settings import (
    EXEMPTIONS,
    Rule,
    Settings,
    load_settings,
    settings_from_dict,
    settings_to_dict,
)
from ovpass.targets import TARGETS
from ovpass.targets.group_sizes import OFF, PER_TOKEN, format_group_size, parse_group_size

sizes = st.none() | st.integers(1, 4096) | st.sampled_from([PER_TOKEN, OFF])
thresholds = st.none() | st.integers(0, 10_000)
patterns = st.sampled_from(
    ["kind:attn", "kind:mlp.down", "layer:3", "layer:0-5", "re:.*x", "MatMul_4", "kind:attn+layer:1"]
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    match = draw(patterns)
    if draw(st.booleans()):
        return Rule(match, exempt=True)
    size = draw(st.integers(1, 4096) | st.just(PER_TOKEN))
    return Rule(
        match, False, size, draw(thresholds), draw(st.none() | st.integers(-4, 3)), draw(st.none() | st.booleans())
    )


@st.composite
def all_settings(draw: st.DrawFn) -> Settings:
    lowering = draw(st.sampled_from(sorted(LOWERINGS)))
    return Settings(
        group_size=draw(sizes),
        threshold=draw(thresholds),
        axis=draw(st.integers(-4, 3)),
        symmetric=draw(st.booleans()),
        lowering=lowering,
        target=draw(st.sampled_from(list(TARGETS))),
        exempt_with=draw(st.sampled_from(EXEMPTIONS)),
        requantize=lowering == "int8" and draw(st.booleans()),
        rules=tuple(draw(st.lists(rules(), max_size=4))),
        runtime_options=draw(st.dictionaries(st.just("KV_CACHE_PRECISION"), st.sampled_from(["u8", "f16"]))),
    )


@given(all_settings())
def test_round_trip(settings: Settings) -> None:
    plain = settings_to_dict(settings)
    assert settings_from_dict(plain) == settings
    assert settings_from_dict(json.loads(json.dumps(plain))) == settings
    assert settings_from_dict(yaml.safe_load(yaml.safe_dump(plain))) == settings


def test_defaults_are_left_out() -> None:
    assert settings_to_dict(Settings()) == {}


@given(st.integers(1, PER_TOKEN))
def test_group_sizes_round_trip(size: int) -> None:
    assert parse_group_size(format_group_size(size)) == size
    assert parse_group_size(str(size)) == size


@pytest.mark.parametrize("text", ["per-token", "Per-Token", " per-token "])
def test_per_token(text: str) -> None:
    assert parse_group_size(text) == PER_TOKEN


@pytest.mark.parametrize("value", [0, -1, "0", "-32", "abc", "", 1.5, True, False, None, [32], 2**64, "per token"])
def test_no_group_size(value: Any) -> None:
    with pytest.raises(SettingsError):
        parse_group_size(value)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_files(tmp_path: Path, suffix: str) -> None:
    data = {
        "group_size": "per-token",
        "threshold": 32,
        "target": "cpu",
        "lowering": "emulate",
        "rules": [{"match": "kind:mlp.down", "exempt": True}, {"match": "layer:0-1", "group_size": 32}],
    }
    path = tmp_path / f"settings.{suffix}"
    path.write_text(json.dumps(data) if suffix == "json" else yaml.safe_dump(data))
    assert load_settings(path) == Settings(
        PER_TOKEN,
        32,
        lowering="emulate",
        target="cpu",
        rules=(Rule("kind:mlp.down", exempt=True), Rule("layer:0-1", group_size=32)),
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"group_sise": 3}, ["group_sise", "'group_size'"]),
        ({"grup_size": 3, "tharget": "cpu"}, ["grup_size", "tharget", "'target'"]),
        ({"colour": "red"}, ["colour", "threshold"]),
        ({"rules": [{"match": "layer:1", "excempt": True}]}, ["excempt", "'exempt'"]),
        ({"rules": [{"exempt": True}]}, ["match"]),
        ({"rules": 3}, ["rules"]),
        ({"rules": [3]}, ["rules"]),
        ({"threshold": "many"}, ["threshold", "many"]),
        ({"threshold": 1.5}, ["threshold", "1.5"]),
        ({"threshold": True}, ["threshold"]),
        ({"threshold": -1}, ["threshold", "-1"]),
        ({"symmetric": "yes"}, ["symmetric", "yes"]),
        ({"symmetric": 1}, ["symmetric"]),
        ({"lowering": "intt8"}, ["intt8", "'int8'"]),
        ({"lowering": 8}, ["lowering"]),
        ({"target": "gpu_xmx"}, ["'gpu-xmx'"]),
        ({"exempt_with": "rank4"}, ["'rank-4'"]),
        ({"rules": [{"match": "layer:1", "group_size": 0}]}, ["group size", "exempt"]),
        ({"group_size": []}, ["group size"]),
        ({"requantize": True}, ["int8"]),
        ({"rules": [{"match": "layer:1"}]}, ["layer:1", "nothing"]),
        ({"rules": [{"match": "layer:1", "exempt": False}]}, ["layer:1", "nothing"]),
        ({"rules": [{"match": "layer:1", "exempt": True, "group_size": 32}]}, ["layer:1"]),
        ({"rules": [{"match": "layer:1", "threshold": -2}]}, ["layer:1", "-2"]),
        ({"rules": [{"match": "layer:x", "exempt": True}]}, ["layer:x"]),
        ({"runtime_options": ["KV_CACHE_PRECISION"]}, ["runtime_options", "names and values"]),
        ({"runtime_options": {"KV_CACHE_PRECISSION": "u8"}}, ["KV_CACHE_PRECISSION", "mean KV_CACHE_PRECISION?"]),
        ({"runtime_options": {"NUM_STREAMS": 2}}, ["NUM_STREAMS", "KV_CACHE_PRECISION", "KEY_CACHE_GROUP_SIZE"]),
        ({"runtime_options": {"KV_CACHE_PRECISION": "int8"}}, ["KV_CACHE_PRECISION", "int8", "u8"]),
        ({"runtime_options": {"KV_CACHE_PRECISION": ""}}, ["KV_CACHE_PRECISION", "u8"]),
        ({"runtime_options": {"KV_CACHE_PRECISION": True}}, ["KV_CACHE_PRECISION", "True"]),
        ({"runtime_options": {"KEY_CACHE_PRECISION": "i8"}}, ["KEY_CACHE_PRECISION", "i8", "u4"]),
        ({"runtime_options": {"KEY_CACHE_GROUP_SIZE": -1}}, ["KEY_CACHE_GROUP_SIZE", "-1"]),
        ({"runtime_options": {"ACTIVATIONS_SCALE_FACTOR": "big"}}, ["ACTIVATIONS_SCALE_FACTOR", "big", "number"]),
        ({"runtime_options": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 64}}, ["setting group_size"]),
        ({"runtime_options": {"GPU_DYNAMIC_QUANTIZATION_THRESHOLD": 64}}, ["setting threshold"]),
        ([], ["list"]),
        (None, []),
        ("group_size: 3", []),
    ],
)
def test_refusals_name_what_is_wrong(data: Any, words: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        settings_from_dict(data)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)


NO_FLAGS: dict[str, Any] = {
    "config": None,
    "group_size": None,
    "threshold": None,
    "axis": None,
    "lowering": None,
    "at_tokens": None,
    "only_if_faster": False,
    "target": None,
    "exempt_with": None,
    "asymmetric": False,
    "requantize": False,
    "exempt": (),
    "sizes": (),
    "runtime_options": (),
}


def test_no_flags_are_the_defaults() -> None:
    assert settings_from(NO_FLAGS) == Settings()


def test_flags_overrule_the_file_and_their_rules_come_first(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(
        "{group_size: 64, threshold: 32, rules: [{match: 'layer:0', group_size: 32}],"
        " runtime_options: {KV_CACHE_PRECISION: u8, KEY_CACHE_GROUP_SIZE: 32}}"
    )
    flags = {
        **NO_FLAGS,
        "config": config,
        "threshold": 0,
        "exempt": ("kind:lm_head",),
        "sizes": (("layer:0", "per-token"),),
        "runtime_options": ("KV_CACHE_PRECISION=f16",),
    }
    assert settings_from(flags) == Settings(
        64,
        0,
        rules=(
            Rule("kind:lm_head", exempt=True),
            Rule("layer:0", group_size=PER_TOKEN),
            Rule("layer:0", group_size=32),
        ),
        runtime_options={"KV_CACHE_PRECISION": "f16", "KEY_CACHE_GROUP_SIZE": "32"},
    )


def test_runtime_options_are_kept_as_plugins_read_them() -> None:
    given = {"kv_cache_precision": "U8", "KEY_CACHE_GROUP_SIZE": 32, "GPU_DYNAMIC_QUANTIZATION_GROUP_SIZE_MAX": 256}
    assert settings_from_dict({"runtime_options": given}).runtime_options == {
        "KV_CACHE_PRECISION": "u8",
        "KEY_CACHE_GROUP_SIZE": "32",
        "GPU_DYNAMIC_QUANTIZATION_GROUP_SIZE_MAX": "256",
    }


def test_a_flag_that_is_no_pair() -> None:
    with pytest.raises(SettingsError, match="--runtime-option"):
        settings_from({**NO_FLAGS, "runtime_options": ("KV_CACHE_PRECISION",)})


@pytest.mark.parametrize("size", ["per-token", PER_TOKEN, str(PER_TOKEN)])
def test_group_sizes_in_words_are_taken_from_python(size: Any) -> None:
    assert Settings(group_size=size).group_size == PER_TOKEN
    assert Rule("layer:0", group_size=size).group_size == PER_TOKEN


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"group_size": "per token"}, "per token"),
        ({"threshold": "64"}, "threshold"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"axis": "x"}, "axis"),
        ({"axis": None}, "axis"),
        ({"at_tokens": 1.0}, "at_tokens"),
        ({"symmetric": "no"}, "symmetric"),
        ({"symmetric": None}, "symmetric"),
        ({"requantize": 1}, "requantize"),
        ({"target": None}, "target"),
        ({"rules": "kind:attn"}, "rules"),
        ({"rules": [{"match": "kind:attn", "exempt": True}]}, "rules"),
        ({"rules": None}, "rules"),
    ],
)
def test_values_from_python_are_checked(values: dict[str, Any], word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        Settings(**values)


@pytest.mark.parametrize(
    "values", [{"match": 3, "exempt": True}, {"match": "layer:0", "exempt": "no"}, {"match": "layer:0", "axis": "x"}]
)
def test_rules_from_python_are_checked(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="rule"):
        Rule(**values)


def test_rules_can_be_a_list() -> None:
    listed: Any = [Rule("layer:0", exempt=True)]
    assert Settings(rules=listed) == Settings(rules=tuple(listed))
    assert hash(Settings(rules=listed)) == hash(Settings(rules=tuple(listed)))


def test_a_file_can_be_named_by_a_string(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("group_size: 32")
    assert load_settings(str(tmp_path / "s.yaml")) == Settings(group_size=32)
