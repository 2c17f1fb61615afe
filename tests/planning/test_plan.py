"""Plans as files: nothing is lost, and nothing that cannot be carried out is accepted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ovpass.errors import PlanError
from ovpass.lowerings.planner import check_plan, make_plan
from ovpass.planning.plan import EXEMPT, QUANTIZE, SKIP, Decision, Plan, load_plans, plan_from_dict, save_plans
from ovpass.settings.settings import EXEMPTIONS, Rule, Settings
from ovpass.sites import KINDS, find_compressed_matmuls
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.runtime_options import OPTIONS
from tests.builders import linear_model, llama_model
from tests.settings.test_settings import all_settings

METHODS = {QUANTIZE: ("cap", "requantize"), EXEMPT: EXEMPTIONS[1:], SKIP: ()}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
sizes = st.integers(1, 4096) | st.just(PER_TOKEN)
values = st.from_regex(r"[a-z0-9]{1,9}", fullmatch=True)
variables = st.dictionaries(st.sampled_from([option.variable for option in OPTIONS.values()]), values)
properties = st.dictionaries(st.sampled_from(sorted(OPTIONS)), values)


@st.composite
def decisions(draw: st.DrawFn, name: str) -> Decision:
    action = draw(st.sampled_from([QUANTIZE, EXEMPT, SKIP]))
    methods = METHODS[action]
    return Decision(
        name=name,
        action=action,
        reason=draw(texts),
        kind=draw(st.sampled_from(KINDS)),
        layer=draw(st.none() | st.integers(0, 100)),
        weights=draw(texts),
        group_size=draw(sizes) if action == QUANTIZE else None,
        method=draw(st.sampled_from([None, *methods])),
        threshold=draw(st.none() | st.integers(0, 4096)),
        axis=draw(st.none() | st.integers(-4, 3)),
        symmetric=draw(st.none() | st.booleans()),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    names = draw(st.lists(texts, unique=True, max_size=4))
    return Plan(
        settings=draw(all_settings()),
        decisions=tuple(draw(decisions(name)) for name in names),
        model_group_size=draw(st.just(0) | sizes),
        run_environment=draw(variables),
        run_properties=draw(properties),
        notes=tuple(draw(st.lists(texts, max_size=2))),
    )


@pytest.mark.slow
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(plans())
def test_a_plan_survives_its_file(tmp_path: Path, plan: Plan) -> None:
    plan.save(tmp_path / "plan.yaml")
    assert Plan.load(tmp_path / "plan.yaml") == plan
    assert plan_from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(group_size=64, rules=(Rule("kind:mlp", exempt=True),)),
        Settings(threshold=0, symmetric=False),
        Settings(lowering="emulate", group_size=32, rules=(Rule("layer:1", symmetric=False),)),
        Settings(lowering="int8", requantize=True),
    ],
)
def test_made_plans_survive_their_file(tmp_path: Path, settings: Settings) -> None:
    plan = make_plan(llama_model(), settings)
    plan.save(tmp_path / "plan.yaml")
    assert Plan.load(tmp_path / "plan.yaml") == plan


def test_every_site_has_a_decision_with_a_reason() -> None:
    model = llama_model()
    plan = make_plan(model, Settings(rules=(Rule("kind:attn", exempt=True),)))
    assert [decision.name for decision in plan.decisions] == [site.name for site in find_compressed_matmuls(model)]
    assert all(decision.reason for decision in plan.decisions)
    assert plan.counts() == {"quantize": 7, "exempt": 8, "skip": 0}
    assert sum(len(plan.chosen(action)) for action in plan.counts()) == 15


def test_several_models_in_one_file(tmp_path: Path) -> None:
    both = {"text/model.xml": make_plan(llama_model()), "vision/model.xml": make_plan(linear_model())}
    save_plans(both, tmp_path / "plan.yaml")
    assert load_plans(tmp_path / "plan.yaml") == both
    with pytest.raises(PlanError, match=r"vision/model\.xml"):
        Plan.load(tmp_path / "plan.yaml")


def test_a_plan_for_another_model_names_the_differences() -> None:
    plan = make_plan(linear_model("w_i8_sym_ch"))
    plan.check_fits(find_compressed_matmuls(linear_model("w_i8_sym_ch")))
    for other in (linear_model("w_u8_asym_ch"), linear_model("w_i8_sym_ch", 256)):
        with pytest.raises(PlanError, match="linear"):
            plan.check_fits(find_compressed_matmuls(other))
    with pytest.raises(PlanError, match="lm_head"):
        plan.check_fits(find_compressed_matmuls(llama_model()))


@pytest.mark.parametrize(
    "change",
    [
        {"action": "quantise"},
        {"kind": "attn.x"},
        {"layer": "0"},
        {"layer": True},
        {"name": 3},
        {"method": "magic"},
        {"method": "rank-4"},
        {"group_size": 0},
        {"group_size": None},
        {"threshold": "64"},
        {"threshold": -5},
        {"symmetric": 1},
        {"colour": "red"},
    ],
)
def test_an_edit_that_makes_no_sense(change: dict[str, object]) -> None:
    plain = make_plan(linear_model()).to_dict()
    plain["decisions"][0].update(change)
    with pytest.raises(PlanError, match=next(iter(change)).replace("_", ".")):
        plan_from_dict(plain)


@pytest.mark.parametrize("key", ["name", "action", "reason", "kind", "weights", "group_size"])
def test_what_a_decision_needs(key: str) -> None:
    plain = make_plan(linear_model()).to_dict()
    del plain["decisions"][0][key]
    with pytest.raises(PlanError, match=key):
        plan_from_dict(plain)


@pytest.mark.parametrize(
    "change",
    [
        {"decisions": 3},
        {"decisions": [3]},
        {"decisions": {}},
        {"model_group_size": "many"},
        {"settings": {"lowring": "int8"}},
        {"run_environment": 3},
        {"extra": 1},
    ],
)
def test_what_is_no_plan(change: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        plan_from_dict({**make_plan(linear_model()).to_dict(), **change})
    with pytest.raises(PlanError):
        plan_from_dict(change)


def test_a_site_has_one_decision() -> None:
    plan = make_plan(linear_model())
    doubled = dataclasses.replace(plan, decisions=plan.decisions * 2)
    with pytest.raises(PlanError, match="linear"):
        plan_from_dict(doubled.to_dict())


@pytest.mark.parametrize("change", [{"group_size": 48}, {"axis": 7}, {"axis": -4}, {"axis": 1}])
def test_an_edit_that_cannot_be_emulated(change: dict[str, Any]) -> None:
    model = linear_model()
    plan = make_plan(model, Settings(lowering="emulate", group_size=32))
    edited = dataclasses.replace(plan, decisions=(dataclasses.replace(plan.decisions[0], **change),))
    with pytest.raises(PlanError, match="linear"):
        check_plan(edited, find_compressed_matmuls(model))
