"""What the package offers to a program."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest

import ovpass
import ovpass.passes
import ovpass.verification
from ovpass.errors import ModelError, PlanError
from tests.builders import linear_model, llama_model
from tests.passes.helpers import interface, structure

PLANS = [
    ovpass.Settings(group_size=64),
    ovpass.Settings(rules=(ovpass.Rule("kind:mlp.down", exempt=True),)),
    ovpass.Settings(lowering="emulate", group_size=32),
    ovpass.Settings(lowering="int8", requantize=True),
]


def test_all_names_are_there() -> None:
    assert all(getattr(ovpass, name) is not None for name in ovpass.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ovpass.nonsense


def test_all_names_can_be_completed() -> None:
    """In a process that has used none of them yet."""
    script = "import ovpass, sys; sys.exit(not {*ovpass.__all__, '__doc__'} <= set(dir(ovpass)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_importing_it_imports_nothing_heavy() -> None:
    script = "import sys, ovpass; sys.exit(str({'openvino', 'numpy', 'yaml'} & set(sys.modules) or ''))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.stderr.strip() == ""


@pytest.mark.parametrize("settings", PLANS)
def test_apply_works_on_a_clone(settings: ovpass.Settings) -> None:
    model = llama_model()
    before = structure(model)
    changed = ovpass.apply(model, ovpass.make_plan(model, settings))
    assert structure(model) == before
    assert interface(changed) == interface(model)
    with pytest.raises(ModelError, match="strip"):
        ovpass.make_plan(changed)
    with pytest.raises(ModelError, match="strip"):
        ovpass.apply(changed, ovpass.make_plan(model, settings))


@pytest.mark.parametrize("settings", PLANS[:3])
def test_strip_undoes_it(settings: ovpass.Settings) -> None:
    model = llama_model()
    changed = ovpass.apply(model, ovpass.make_plan(model, settings))
    assert structure(ovpass.strip(changed)) == structure(model)
    with pytest.raises(ModelError, match="nothing to strip"):
        ovpass.strip(model)


def test_a_plan_of_another_model() -> None:
    with pytest.raises(PlanError, match="linear"):
        ovpass.apply(llama_model(), ovpass.make_plan(linear_model()))


@pytest.mark.parametrize("package", [ovpass, ovpass.passes, ovpass.verification])
def test_what_a_package_offers_is_listed(package: ModuleType) -> None:
    assert set(package.__all__) <= set(dir(package))
    assert "__doc__" in dir(package)
