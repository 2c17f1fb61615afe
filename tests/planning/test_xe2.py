"""Plans for devices on which per-token means groups of 128 for 8-bit weights."""

from __future__ import annotations

from pathlib import Path

import openvino as ov
import pytest

import ovpass
from ovpass import Rule, Settings
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Question
from ovpass.verification.verify_model import verify
from tests.builders import linear_model
from tests.targets.cases import merged
from tests.verification.command import saved


def model_of(lengths: dict[str, int], fmt: str = "w_i8_sym_ch") -> ov.Model:
    return merged({name: linear_model(fmt, k=k, n=32) for name, k in lengths.items()})


SMALL = {"narrow": 576, "wide": 1536}


def decisions(target: str, model: ov.Model | None = None, **settings: object) -> dict[str, tuple[str, int | None]]:
    plan = ovpass.make_plan(model or model_of(SMALL), Settings(target=target, **settings))  # type: ignore[arg-type]
    return {decision.name.partition("/")[0]: (decision.action, decision.group_size) for decision in plan.decisions}


def test_by_default_k_of_576_gets_nothing() -> None:
    assert decisions("arc-b580") == {"narrow": ("skip", None), "wide": ("quantize", 128)}
    assert decisions("arc-a770") == dict.fromkeys(SMALL, ("quantize", PER_TOKEN))
    four_bits = model_of(SMALL, "w_i4_sym_ch")
    assert decisions("arc-b580", four_bits) == dict.fromkeys(SMALL, ("quantize", PER_TOKEN))


def test_the_plan_says_which_and_what_to_set() -> None:
    (note,) = ovpass.make_plan(model_of(SMALL), Settings(target="arc-b580")).notes
    assert "1 site is not quantized" in note
    assert "K=576 is not a multiple of group size 128" in note
    assert note.endswith("2 of 2: 64, 32")


@pytest.mark.parametrize("size", [64, 1536])
def test_an_explicit_group_size_is_obeyed(size: int) -> None:
    found = decisions("arc-b580", group_size=size)
    assert {action for action, _ in found.values()} == {"quantize"}


def test_a_rule_for_another_site_makes_per_token_what_it_says() -> None:
    """The model's group size is then a number, which the plugin does not replace."""
    rules = (Rule("re:wide/.*", group_size=64),)
    assert decisions("arc-b580", rules=rules) == {"narrow": ("quantize", PER_TOKEN), "wide": ("quantize", 64)}


def test_a_site_that_the_models_group_size_alone_would_quantize_is_exempt() -> None:
    rules = (Rule("re:wide/.*", group_size=PER_TOKEN),)
    found = ovpass.make_plan(model_of(SMALL), Settings(group_size=128, rules=rules)).decisions
    assert [(decision.action, decision.method) for decision in found if "narrow" in decision.name] == [
        ("exempt", "rank-4")
    ]


@pytest.mark.parametrize(
    "settings",
    [
        Settings(target="arc-b580"),
        Settings(target="arc-b580", rules=(Rule("re:wide/.*", group_size=64),)),
        Settings(target="arc-b580", group_size=128, rules=(Rule("re:wide/.*", group_size=512),)),
    ],
    ids=["default", "per-token beside 64", "exempt"],
)
def test_the_plugin_agrees(simulated: object, tmp_path: Path, settings: Settings) -> None:
    simulated("arc-b580")  # type: ignore[operator]
    model = model_of(SMALL)
    path = saved(ovpass.apply(model, ovpass.make_plan(model, settings)), tmp_path)
    report = verify(path, Question(simulate="arc-b580"))[""]
    assert report.mismatches == []
