"""The KV cache within a budget: the smallest that keeps it, beside a plan for activations, and carried out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import openvino as ov
import pytest

from ovpass.errors import SettingsError
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.language_model import TextReport
from ovpass.evaluation.options import Evaluation
from ovpass.ir.files import open_source
from ovpass.passes.kv_caches import find_kv_caches
from ovpass.settings.settings import Settings
from ovpass.targets import TARGETS
from ovpass.targets.names import get_target
from ovpass.tuning.budget import NOTHING, Budget
from ovpass.tuning.experiment import Experiment
from ovpass.tuning.kv_cache import tune_with_cache
from ovpass.tuning.kv_candidates import AUTO, CacheKind, cache_kinds
from ovpass.tuning.kv_layers import CacheLoss, losses_by_layer
from ovpass.tuning.kv_tuned import CachePoint, TunedCache
from ovpass.tuning.tuned import Tuned
from tests.builders import llama_model
from tests.cli.command import ENCODER, LLAMA, CommandLine

KEYS, VALUES = "KEY_CACHE_PRECISION", "VALUE_CACHE_PRECISION"
WINDOWS = Evaluation(windows=2, window_tokens=96)
SMALL = ("--windows", 2, "--window-tokens", 96)
BUDGET = 1e-3


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Measurements that tests share."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def experiment(state: Path) -> Experiment:
    return Experiment(LLAMA, Settings(target="cpu"), WINDOWS, state)


@pytest.fixture(scope="module")
def tuned(experiment: Experiment) -> Tuned:
    return tune_with_cache(experiment, Budget(max_kl=BUDGET), "u8,u4,mant4a")


def kinds(target: str, asked: str, model: ov.Model | None = None) -> list[CacheKind]:
    return cache_kinds(get_target(target), find_kv_caches(model or open_source(LLAMA).models[0].read()), asked)


@pytest.mark.slow
def test_the_smallest_cache_within_the_budget_is_chosen(tuned: Tuned) -> None:
    assert tuned.cache is not None
    assert tuned.cache.chosen.kind.options == {KEYS: "u8", VALUES: "u8"}
    stored = [point for point in tuned.cache.points if point.kind.options]
    assert stored[-1] == tuned.cache.chosen
    assert all(not Budget(max_kl=BUDGET / 2).allows(point.spent) for point in stored[:-1])
    assert {**tuned.plan.settings.runtime_options} == {KEYS: "u8", VALUES: "u8"}


@pytest.mark.slow
def test_types_that_no_plugin_has_are_measured_and_not_shipped(tuned: Tuned) -> None:
    assert tuned.cache is not None
    (emulated,) = (point for point in tuned.cache.points if point.kind.options is None)
    assert str(emulated.kind.key) == str(emulated.kind.value) == "mant4a"
    assert emulated.spent.kl > 0


@pytest.mark.slow
def test_both_together_keep_the_budget_as_evaluate_tells(tuned: Tuned, tmp_path: Path) -> None:
    assert tuned.holds
    assert tuned.plan.evidence["budget"] == {"max_kl": BUDGET}
    assert tuned.plan.evidence["kv_cache"]["bytes_per_token"] == 320
    tuned.plan.save(tmp_path / "plan.yaml")
    held_out = replace(WINDOWS, skip=2)
    report = evaluate(LLAMA, [f"{LLAMA}@plan={tmp_path / 'plan.yaml'}"], held_out)
    assert isinstance(report, TextReport)
    (found,) = report.candidates
    assert found.total.kl.mean.value == pytest.approx(tuned.held_out.kl, rel=1e-4)
    assert f"{KEYS}=u8, {VALUES}=u8, fed in chunks of 32 tokens" in found.how


@pytest.mark.slow
def test_apply_writes_it_into_the_model(tuned: Tuned, tmp_path: Path, ovpass: CommandLine) -> None:
    tuned.plan.save(tmp_path / "plan.yaml")
    ovpass.succeed("apply", LLAMA, "-o", tmp_path / "out", "--plan", tmp_path / "plan.yaml", "--quiet")
    assert "keeps keys and values in u8" in ovpass.succeed("explain", tmp_path / "out", "--device", "cpu").out
    options = ov.Core().read_model(tmp_path / "out/openvino_model.xml").get_rt_info("runtime_options")
    assert {name: options[name] for name in (KEYS, VALUES)} == {KEYS: "u8", VALUES: "u8"}


@pytest.mark.slow
def test_layers_cost_alone_what_they_do_with_exact_others(experiment: Experiment) -> None:
    """Both layers' keys and values one at a time; the first layer's reach further."""
    (kind,) = (kind for kind in kinds("cpu", "u4") if str(kind) == "keys u4, values u4")
    losses = losses_by_layer(experiment, kind, 32)
    assert {(loss.what, loss.layer) for loss in losses} == {(what, n) for what in ("key", "value") for n in (0, 1)}
    assert [loss.kl for loss in losses] == sorted((loss.kl for loss in losses), reverse=True)
    assert {loss.layer for loss in losses[:2]} == {0}
    assert losses[-1].kl > 0


@pytest.mark.slow
def test_an_arc_gets_its_property(state: Path, tmp_path: Path) -> None:
    """Devices with XMX ignore the option in the IR."""
    how = Evaluation(windows=1, window_tokens=200)
    found = tune_with_cache(Experiment(LLAMA, Settings(target="arc-b580"), how, state), Budget(max_kl=1.0), AUTO)
    assert found.plan.run_properties == {"KV_CACHE_PRECISION": "i8"}
    found.plan.save(tmp_path / "plan.yaml")
    report = evaluate(
        LLAMA, [f"{LLAMA}@plan={tmp_path / 'plan.yaml'}"], Evaluation(windows=1, window_tokens=200, skip=1)
    )
    assert isinstance(report, TextReport)
    assert "kv_key=i8, kv_value=i8, fed in chunks of 128 tokens" in report.candidates[0].how


@pytest.mark.slow
def test_a_notebook_shows_it(tuned: Tuned) -> None:
    shown = str(tuned._repr_html_())
    assert "keys u8, values u8: 320 bytes a token, 512 in f16." in shown
    assert "mant4a" in shown


def test_the_time_is_kept(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no KV cache was found in that time"):
        tune_with_cache(Experiment(LLAMA, Settings(target="cpu"), WINDOWS, tmp_path), Budget(1.0), "u8", minutes=1e-6)


@pytest.mark.slow
def test_without_room_the_cache_stays_exact(experiment: Experiment) -> None:
    found = tune_with_cache(experiment, Budget(max_kl=1e-12), "u4")
    assert found.cache is not None
    assert found.cache.chosen.kind.options == {KEYS: "f32", VALUES: "f32"}
    assert found.held_out.kl == 0


@pytest.mark.slow
def test_the_command_prints_both_tables(state: Path, ovpass: CommandLine) -> None:
    asked = ("tune", LLAMA, "--target", "cpu", "--max-kl", BUDGET, "--kv", "u8,u4,mant4a", *SMALL, "--state", state)
    out = ovpass.succeed(*asked).out
    assert "KV cache: keys u8, values u8: 320 bytes a token, in f16 512." in out
    assert "half of the loss is in 1 of 4 caches" in out
    found = ovpass.succeed(*asked, "--json").json["kv_cache"]
    assert found["chosen"]["options"] == {KEYS: "u8", VALUES: "u8"}
    assert len(found["losses"]) == 4
    assert not found["few_layers"], "one of four is not few"


@pytest.mark.parametrize(("loud", "few"), [(2, True), (20, False)])
def test_few_layers_that_cause_half_of_the_loss(loud: int, few: bool) -> None:
    (kind, *_) = kinds("cpu", "u4")
    point = CachePoint(kind, NOTHING)
    losses = [CacheLoss("key", layer, 1.0 if layer < loud else 0.01) for layer in range(20)]
    losses += [CacheLoss("value", layer, 0.01) for layer in range(20)]
    found = TunedCache(point, (point,), 32, 512, kind, tuple(losses))
    assert len(found.half) == (2 if few else 11)
    assert found.few == few


def test_sizes_are_those_that_plugins_store() -> None:
    """Heads of 16: two layers, two heads, keys and values; on CPU a scale and a zero point take 8 bytes."""
    sizes = {str(kind): kind.bytes_per_token for kind in kinds("cpu", "u4,u8")}
    elements, heads = 2 * 2 * 2 * 32, 2 * 2 * 2
    assert sizes["keys f16, values f16"] == 2 * elements
    assert sizes["keys u8, values u8"] == elements + 8 * heads
    assert sizes["keys u4, values u8"] == (elements * 3 / 4) + 8 * heads


def test_an_automatic_choice_knows_the_target() -> None:
    model = llama_model(1, 128, 2, 2, 128, 320, stateful=True)
    cpu = {str(kind.key) for kind in kinds("cpu", AUTO, model)}
    assert cpu == {"u4", "u4:32", "u4:16", "u8", "f16", "f32"}
    for target in TARGETS.values():
        if target.device == "GPU":
            assert [str(kind) for kind in kinds(target.name, AUTO)] == ["keys i8, values i8", "keys f16, values f16"]


@pytest.mark.parametrize(
    ("kv", "target", "said"),
    [
        ("i8", "cpu", "cpu does not store i8; use u4, u8, f16, f32"),
        ("u4", "arc-b580", "does not store u4; use i8, f16"),
        ("i8:16", "gpu-xmx", "one scale a head"),
        ("u5", "cpu", "unknown"),
        ("", "cpu", "name types"),
    ],
)
def test_types_that_the_target_does_not_have(kv: str, target: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        kinds(target, kv)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--kv", "u4", "--runtime-option", "KV_CACHE_PRECISION=u8"), "leave the runtime option out"),
        (("--kv", "i8"), "does not store i8"),
        (("--kv", "u8", "--profile", "gpu-no-xmx"), "use --window-tokens 960"),
    ],
)
def test_refuses(options: tuple[object, ...], said: str, tmp_path: Path, ovpass: CommandLine) -> None:
    target = () if "--profile" in options else ("--target", "cpu")
    asked = ("tune", LLAMA, "--max-kl", 1, *target, *options, "--windows", 1, "--window-tokens", 300)
    assert said in ovpass.refuse(*asked, "--state", tmp_path, "-o", tmp_path / "plan.yaml")
    assert not (tmp_path / "plan.yaml").exists()


def test_refuses_a_model_without_a_cache(tmp_path: Path, ovpass: CommandLine) -> None:
    assert "language model" in ovpass.refuse("tune", ENCODER, "--max-kl", 1, "--kv", "u8", "--state", tmp_path)
