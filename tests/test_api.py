"""What the package offers to a program."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import ovpass
import ovpass.passes
import ovpass.verification
from ovpass.errors import ModelError, PlanError
from tests.builders import linear_model, llama_model
from tests.cli.command import LLAMA
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


def test_models_of_optimum_intel_are_taken_for_the_one_they_hold() -> None:
    model = llama_model()
    assert ovpass.find_compressed_matmuls(SimpleNamespace(model=model)) == ovpass.find_compressed_matmuls(model)
    with pytest.raises(ovpass.OvpassError, match="read_model"):
        ovpass.find_compressed_matmuls("model.xml")


@pytest.mark.parametrize("search", [ovpass.sensitivity, lambda path: ovpass.tune(path, ovpass.Budget(max_kl=1))])
def test_searches_take_a_path(search: Callable[[str], object], tmp_path: Path) -> None:
    with pytest.raises(ovpass.OvpassError, match="no such file"):
        search(str(tmp_path / "none"))


def test_optimize_knows_its_options(tmp_path: Path) -> None:
    with pytest.raises(ovpass.OvpassError, match="unknown options colour"):
        ovpass.optimize(LLAMA, tmp_path / "out", colour="red")
