"""Files of strangers come in as plain data, or are refused in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ovpass.support.limits import DEEPEST, LARGEST_FILE, LONGEST_NUMBER
from ovpass.support.structured_text import MalformedError, parse_json, parse_yaml, read_text
from tests.cli.command import LLAMA, CommandLine

HOSTILE = Path(__file__).parent / "hostile"
PARSERS = (parse_yaml, parse_json)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
plain = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
# The characters that mean something to YAML and JSON, so that there is structure to read.
pieces = st.sampled_from(
    [*'{}[]:,-?&*!|>"%@#~<= \n\t\\', "&a ", "*a ", "<<: ", "!!int ", "!!map ", "- ", "0x", "1:5", "x"]
)
texts = st.text() | st.lists(pieces, max_size=30).map("".join) | plain.map(json.dumps) | plain.map(str)


def is_plain(data: Any, depth: int = 0) -> bool:
    if isinstance(data, dict):
        return all(type(key) is str and is_plain(value, depth + 1) for key, value in data.items())
    if isinstance(data, list):
        return depth < DEEPEST and all(is_plain(entry, depth + 1) for entry in data)
    return data is None or type(data) in (str, bool, int, float)


def refused(parse: Callable[[str], Any], text: str) -> str:
    with pytest.raises(MalformedError) as error:
        parse(text)
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 300
    return message


@pytest.mark.parametrize("parse", PARSERS)
@given(text=texts)
def test_any_text_is_plain_data_or_refused(parse: Callable[[str], Any], text: str) -> None:
    try:
        data = parse(text)
    except MalformedError as error:
        assert "\n" not in str(error)
    else:
        assert is_plain(data)


@given(data=plain)
def test_plain_data_comes_back(data: Any) -> None:
    assert parse_json(json.dumps(data)) == data
    assert parse_yaml(yaml.safe_dump(data, sort_keys=False, width=110)) == data


@given(content=st.binary())
def test_any_file_is_text_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(content)
    try:
        text = read_text(path)
    except MalformedError as error:
        assert "UTF-8" in str(error)
    else:
        assert text.encode() == content


def test_aliases_and_merged_mappings() -> None:
    text = "a: &a {size: 32, up: yes}\nb: {<<: *a, size: 0x40}\nc: [*a, ~, .5, 'no', {<<: [{x: 1}, {x: 2, y: 3}]}]\n"
    rule = {"size": 32, "up": True}
    assert parse_yaml(text) == {
        "a": rule,
        "b": {"size": 64, "up": True},
        "c": [rule, None, 0.5, "no", {"x": 1, "y": 3}],
    }
    assert parse_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 2024-01-01", "line 1: '2024-01-01' is read as timestamp"),
        ("\na: !!binary aGk=", "line 2"),
        ("!!python/object/apply:os.system [ls]", "python"),
        ("!!set {a, b}", "set"),
        ("a: !!int ''", "no int"),
        ("a: !!bool maybe", "no bool"),
        ("a: 0x_", "no int"),
        ("1: 1", "key '1'"),
        ("on: 1", "key 'on'"),
        ("? [a]\n: b", "key a list"),
        ("&a [*a]", "deep"),
        ("&a {<<: *a}", "deep"),
        ("<<: 1", "<<"),
        ("*a", "alias"),
        ("- a\n--- b", "line 2"),
        ("a: \x07", "control"),
        ("\ud800", "surrogates"),
        (f"a: {'9' * (LONGEST_NUMBER + 1)}", "251"),
        (f"a: {'1:' * 500}00.5", "characters"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "deep"),
        ("- " * 2_000, "deep"),
        ("{a: " * 100_000, "nest"),
    ],
)
def test_refused_yaml(text: str, said: str) -> None:
    assert said in refused(parse_yaml, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "deep"),
        ('{"a":' * 100_000, "deep"),
        ("[" * 100_000, "deep"),
        (f"[{'9' * (LONGEST_NUMBER + 1)}]", "251"),
        (f"[{'9' * 5_000}]", "5000"),
    ],
)
def test_refused_json(text: str, said: str) -> None:
    assert said in refused(parse_json, text)


@pytest.mark.parametrize("parse", PARSERS)
def test_the_limits_themselves_are_allowed(parse: Callable[[str], Any]) -> None:
    assert is_plain(parse("[" * DEEPEST + "]" * DEEPEST))
    assert float(parse("9" * LONGEST_NUMBER)) > 0


def chain(entry: str) -> str:
    """Forty mappings, each made of the one before."""
    links = (f"b{i + 1}: &b{i + 1} {entry}\n".replace("*b", f"*b{i}") for i in range(40))
    return "b0: &b0 {x: 1}\n" + "".join(links)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        chain("{x: *b, y: *b}"),
        chain("[*b, *b]"),
        chain("{<<: [*b, *b]}"),
        f"a: &a {'x' * 10_000}\nb: [{'*a, ' * 10_000}]",
        f"a: &a {{? {'x' * 10_000} : 1}}\nb: [{'*a, ' * 10_000}]",
    ],
    ids=["mappings", "lists", "merges", "text", "keys"],
)
def test_aliases_expand_to_no_more_than_a_large_file(text: str) -> None:
    assert "aliases" in refused(parse_yaml, text)


def test_a_large_file_without_aliases_is_no_trouble() -> None:
    assert len(parse_yaml("[" + "a," * 400_000 + "]")) == 400_000


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate(LARGEST_FILE + 1)
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    for name, said in (("none", "No such file"), (".", "directory"), ("large", "64 MiB"), ("latin", "byte 3")):
        with pytest.raises(MalformedError, match=said):
            read_text(tmp_path / name)
    with pytest.raises(MalformedError):
        read_text(tmp_path / "a\0b")


# Everything that is read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(HOSTILE.iterdir()), ids=lambda path: path.stem)
@pytest.mark.parametrize("option", ["--config", "--plan"])
def test_hostile_settings_and_plans(ovpass: CommandLine, tmp_path: Path, path: Path, option: str) -> None:
    message = ovpass.refuse("apply", LLAMA, "-o", tmp_path / "out", option, path)
    assert str(path) in message
    assert "line" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b"9" * 5_000], ids=["deep", "bytes", "digits"])
def test_hostile_files_of_any_command(ovpass: CommandLine, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(content)
    for arguments in (
        ("plan", LLAMA, "--config", path),
        ("apply", LLAMA, "-o", tmp_path / "out", "--plan", path),
        ("report", path, "-o", tmp_path / "out.html"),
    ):
        assert str(path) in ovpass.refuse(*arguments)
    assert list(tmp_path.iterdir()) == [path]
