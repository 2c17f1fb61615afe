"""The pass manager: reports, order, validation after every pass, errors with the pass's name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass import api
from ovpass.errors import ModelError, OvpassError, PassError, PlanError
from ovpass.lowerings.pipeline import passes_for
from ovpass.lowerings.planner import make_plan
from ovpass.passes import CapGroups, Emulate, Exempt, Int8, PassManager, Requantize
from ovpass.settings.settings import Rule, Settings
from tests.builders import linear_model, trio_model
from tests.passes.helpers import nodes, structure


@dataclass(frozen=True)
class Slow:
    name: ClassVar[str] = "slow"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        time.sleep(0.02)
        return {"looked": 0}


@dataclass(frozen=True)
class Failing:
    name: ClassVar[str] = "failing"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        raise ZeroDivisionError("nothing to divide")


@dataclass(frozen=True)
class Breaking:
    """Leaves a MatMul whose inputs do not fit."""

    name: ClassVar[str] = "breaking"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        matmul = nodes(model)["linear"]
        matmul.input(0).replace_source_output(op.constant([[1.0, 2.0]], dtype=ov.Type.f32).output(0))
        return {"broken": 1}


@dataclass(frozen=True)
class Retyping:
    """Changes the element type of the output."""

    name: ClassVar[str] = "retyping"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        result = model.get_results()[0]
        result.input(0).replace_source_output(op.convert(result.input_value(0), "f16").output(0))
        return {"types": 1}


@dataclass(frozen=True)
class Renaming:
    """Changes the tensor name of the input."""

    name: ClassVar[str] = "renaming"

    def run(self, model: ov.Model) -> Mapping[str, int]:
        model.input(0).set_names({"other"})
        return {"names": 1}


def test_every_pass_reports_what_it_changed_and_how_long_it_took() -> None:
    model = linear_model("w_i8_sym_ch")
    settings = Settings(rules=(Rule("linear", exempt=True),))
    outcome = PassManager([Slow(), *passes_for(make_plan(model, settings)), Slow()]).run(model)
    assert [result.name for result in outcome.results] == ["slow", "exempt", "runtime-options", "stamp", "slow"]
    assert [result.changed for result in outcome.results] == [False, True, True, True, False]
    assert outcome.results[0].counts == {"looked": 0}
    assert outcome.results[1].counts == {"rank-4": 1}
    assert outcome.results[0].seconds >= 0.02
    assert all(result.seconds > 0 for result in outcome.results)
    assert outcome.changed
    assert not PassManager([Slow()]).run(model).changed


def test_a_plan_is_carried_out_without_idle_passes() -> None:
    model = trio_model("w_u4_asym_g128")
    rules = (Rule("linear_0", exempt=True),)
    settings = (
        Settings(),
        Settings(lowering="int8", requantize=True),
        Settings(lowering="emulate", rules=rules),
    )
    names = {each.lowering: [step.name for step in passes_for(make_plan(model, each))] for each in settings}
    assert names == {
        "native": ["runtime-options", "stamp"],
        "int8": ["requantize", "int8", "runtime-options", "stamp"],
        "emulate": ["emulate", "runtime-options", "stamp"],
    }


def test_runs_on_a_clone_unless_told_otherwise() -> None:
    model = linear_model("w_i8_sym_ch")
    before = structure(model)
    passes = passes_for(make_plan(model, Settings(lowering="emulate")))
    outcome = PassManager(passes).run(model)
    assert structure(model) == before != structure(outcome.model)
    assert not model.has_rt_info("ovpass")
    in_place = PassManager(passes).run(model, in_place=True)
    assert in_place.model is model
    assert structure(model) == structure(outcome.model)


def test_a_clone_shares_the_weights() -> None:
    model = linear_model("w_i8_sym_ch")
    changed = api.apply(model, make_plan(model, Settings(lowering="emulate")))
    old, new = (nodes(each)["linear.weight"] for each in (model, changed))
    assert old.data.ctypes.data == new.data.ctypes.data


def test_an_error_names_the_pass_and_keeps_the_cause() -> None:
    with pytest.raises(PassError, match="failing") as caught:
        PassManager([Slow(), Failing()]).run(linear_model("w_i8_sym_ch"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_model_is_validated_after_each_pass() -> None:
    with pytest.raises(PassError, match="breaking") as caught:
        PassManager([Breaking(), Failing()]).run(linear_model("w_i8_sym_ch"))
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize("step", [Retyping(), Renaming()])
def test_inputs_and_outputs_must_stay(step: Retyping | Renaming) -> None:
    with pytest.raises(PassError, match=step.name):
        PassManager([step]).run(linear_model("w_i8_sym_ch"))


@pytest.mark.parametrize(
    "step", [Exempt({"gone": "rank-4"}), CapGroups({"gone": 64}), Int8(("gone",)), Requantize(("gone",))]
)
def test_a_site_that_the_model_lacks(step: Exempt) -> None:
    with pytest.raises(PassError, match="gone"):
        PassManager([step]).run(linear_model("w_i8_sym_ch"))


@pytest.mark.parametrize("step", [Exempt({}), CapGroups({}), Int8(()), Requantize(()), Emulate({})])
def test_nothing_to_do_changes_nothing(step: Exempt) -> None:
    model = linear_model("w_i8_sym_ch")
    outcome = PassManager([step]).run(model)
    assert not outcome.changed
    assert structure(outcome.model) == structure(model)


@pytest.mark.parametrize("lowering", ["native", "int8", "emulate"])
def test_a_model_is_changed_only_once(lowering: str) -> None:
    model = linear_model("w_i8_sym_ch")
    plan = make_plan(model, Settings(lowering=lowering))
    changed = api.apply(model, plan)
    with pytest.raises(ModelError):
        api.apply(changed, plan)
    with pytest.raises(ModelError):
        make_plan(changed, Settings(lowering=lowering))
    again = api.apply(api.strip(changed), plan)
    assert structure(again) == structure(changed)


def test_a_plan_of_another_model_is_refused() -> None:
    plan = make_plan(linear_model("w_i8_sym_ch"), Settings())
    for other in (linear_model("w_u4_asym_g32"), linear_model("w_i8_sym_ch", n=32), trio_model()):
        with pytest.raises(PlanError):
            api.apply(other, plan)


def test_all_errors_are_of_one_family() -> None:
    assert issubclass(PassError, OvpassError)
