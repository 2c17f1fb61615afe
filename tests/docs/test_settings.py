"""docs/reference/settings.md has every setting with its type, default and flags, and says truly who takes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import click
import openvino as ov
import pytest

import ovpass
from ovpass.cli.main import cli
from ovpass.settings.lowerings import LOWERINGS
from ovpass.settings.settings import Rule, Settings
from ovpass.targets import TARGETS
from ovpass.targets.group_sizes import PER_TOKEN, format_group_size
from tests.cli.command import ENCODER
from tests.docs.tables import codes, sections
from tests.documents import read

TEXT = read("docs/reference/settings.md").text
REFERENCE = sections(f"## Settings\n{TEXT}")
TABLES = {"Settings": Settings, "Rules": Rule}
GROUP_SIZES = {"Settings": "int, `per-token` or `off`", "Rules": "int or `per-token`"}
PATTERN = "kind:mlp.down"

# What differs from the default, for each setting and key of a rule.
EXAMPLES: dict[str, dict[str, dict[str, Any]]] = {
    "Settings": {
        "group_size": {"group_size": 32},
        "threshold": {"threshold": 48},
        "axis": {"axis": -2, "group_size": PER_TOKEN},
        "symmetric": {"symmetric": False, "group_size": PER_TOKEN},
        "lowering": {},
        "target": {},
        "exempt_with": {"exempt_with": "f16-weights", "rules": (Rule(PATTERN, exempt=True),)},
        "requantize": {"requantize": True},
        "only_if_faster": {"only_if_faster": True},
        "at_tokens": {"only_if_faster": True, "at_tokens": 64},
        "runtime_options": {"runtime_options": {"KV_CACHE_PRECISION": "u8"}},
        "rules": {"rules": (Rule(PATTERN, exempt=True),)},
    },
    "Rules": {
        "match": {"rules": (Rule(PATTERN, exempt=True),)},
        "exempt": {"rules": (Rule(PATTERN, exempt=True),)},
        "group_size": {"group_size": 64, "rules": (Rule(PATTERN, group_size=32),)},
        "threshold": {"rules": (Rule(PATTERN, threshold=32),)},
        "axis": {"group_size": PER_TOKEN, "rules": (Rule(PATTERN, axis=-2),)},
        "symmetric": {"group_size": PER_TOKEN, "rules": (Rule(PATTERN, symmetric=False),)},
    },
}


def rows(title: str) -> dict[str, list[str]]:
    """The cells of each setting, without its name; those of the table that has a column for each lowering."""
    columns = 4 + len(LOWERINGS)
    return {codes(row[0])[0]: row[1:] for row in REFERENCE[title].rows() if len(row) == columns}


def told() -> Iterator[tuple[str, str, str, str]]:
    for title in TABLES:
        for name, cells in rows(title).items():
            for lowering, cell in zip(LOWERINGS, cells[3:], strict=True):
                yield title, name, lowering, cell


@pytest.mark.parametrize("title", TABLES)
def test_every_setting_is_there(title: str) -> None:
    assert list(rows(title)) == [field.name for field in dataclasses.fields(TABLES[title])]
    assert rows(title).keys() == EXAMPLES[title].keys()


@pytest.mark.parametrize("title", TABLES)
def test_types(title: str) -> None:
    for field in dataclasses.fields(TABLES[title]):
        kind = str(field.type).removesuffix(" | None").partition("[")[0]
        written = rows(title)[field.name][0]
        plural = {"tuple": "list", "Mapping": "mapping"}.get(kind, kind)
        assert written == (GROUP_SIZES[title] if field.name == "group_size" else plural)


def test_defaults() -> None:
    for field in dataclasses.fields(Settings):
        written = rows("Settings")[field.name][1]
        if field.default is None:
            assert written == "the target's"
        elif isinstance(field.default, (bool, int, str)):
            assert written == str(field.default).replace("True", "true").replace("False", "false")
        else:
            assert written in ("[]", "{}")


@pytest.mark.parametrize("title", TABLES)
def test_flags(title: str) -> None:
    plan = cli.get_command(click.Context(cli), "plan")
    assert plan is not None
    flags = {flag for option in plan.params for flag in option.opts}
    for cells in rows(title).values():
        assert set(codes(cells[2])) <= flags
        assert codes(cells[2]) or cells[2] == "-"


def test_defaults_of_targets() -> None:
    written = {row[0]: row[1:] for row in REFERENCE["Settings"].rows() if len(row) == 4}
    assert written == {
        name: [str(format_group_size(target.default_group_size)), str(target.default_threshold), target.kv_cache]
        for name, target in TARGETS.items()
    }


@pytest.mark.parametrize(("title", "name", "lowering", "cell"), list(told()))
def test_who_takes_it(encoder: ov.Model, title: str, name: str, lowering: str, cell: str) -> None:
    taken = [target for target in TARGETS if plans(encoder, lowering, target, EXAMPLES[title][name])]
    assert cell == {len(TARGETS): "all", 0: "-"}.get(len(taken), ", ".join(taken))


def plans(model: ov.Model, lowering: str, target: str, settings: dict[str, Any]) -> bool:
    try:
        ovpass.make_plan(model, Settings(lowering=lowering, target=target, **settings))
    except ovpass.OvpassError:
        return False
    return True


@pytest.fixture(scope="module")
def encoder() -> ov.Model:
    return ov.Core().read_model(ENCODER / "openvino_model.xml")
