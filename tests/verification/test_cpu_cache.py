"""The compiled model tells whether keys and values are kept as planned."""

from __future__ import annotations

from pathlib import Path

from ovpass import Settings, transform
from ovpass.ir.files import open_source
from ovpass.ir.metadata import ModelMetadata
from ovpass.planning.recorded_plan import recorded_plan
from ovpass.verification.cpu_cache import cache_on_cpu
from tests.cli.command import LLAMA, CommandLine

KV, VALUES, GROUP = "KV_CACHE_PRECISION", "VALUE_CACHE_PRECISION", "VALUE_CACHE_GROUP_SIZE"
OPTIONS = {KV: "u8", VALUES: "u4", GROUP: "16"}


def test_options_of_a_plan_are_in_force_unless_a_property_overrules_them(tmp_path: Path) -> None:
    transform(LLAMA, tmp_path / "out", Settings(target="cpu", group_size=32, runtime_options=OPTIONS))
    model = open_source(tmp_path / "out").models[0].read()
    plan = recorded_plan(ModelMetadata(model))
    assert plan is not None
    kept = cache_on_cpu(model, plan, {})
    assert kept is not None
    assert kept.agrees
    assert kept.found == OPTIONS
    other = cache_on_cpu(model, plan, {VALUES: "u8"})
    assert other is not None
    assert not other.agrees


def test_verify_fails_where_the_model_does_not_ask_for_it(tmp_path: Path, ovpass: CommandLine) -> None:
    plan = tmp_path / "plan.yaml"
    ovpass.succeed("plan", LLAMA, "--target", "cpu", "--runtime-option", f"{KV}=u4", "-o", plan, "--quiet")
    ran = ovpass("verify", LLAMA, "--device", "cpu", "--plan", plan, "--json")
    assert ran.code == 1
    (found,) = ran.json["kv_cache"]
    assert (found["planned"], found["found"], found["agrees"]) == ({KV: "u4"}, {KV: "u8"}, False)
