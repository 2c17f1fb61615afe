"""What a compressed KV cache costs is measured by reading it, and a setting that has no effect is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ovpass import Settings, transform
from ovpass.errors import ModelError, OvpassError, SettingsError
from ovpass.evaluation.candidates import parse_candidate
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.language_model import CandidateResult, TextReport
from ovpass.evaluation.options import Evaluation
from ovpass.evaluation.preparation import prepare
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.windows import Window
from tests.cli.command import ENCODER
from tests.evaluation.models import llama_folder

SMALL = Evaluation(windows=2, window_tokens=96)
CACHE = "KV_CACHE_PRECISION"


def candidates(reference: Path, *others: object, how: Evaluation = SMALL) -> tuple[CandidateResult, ...]:
    report = evaluate(reference, [str(other) for other in others], how)
    assert isinstance(report, TextReport)
    return report.candidates


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All weights in groups of 32, lm_head too."""
    return llama_folder(tmp_path_factory.mktemp("models") / "four", fmt="w_i4_sym_g32", lm_head_fmt="w_u8_asym_g32")


@pytest.mark.parametrize("tokens", [1, 7, 96])
def test_pieces_give_the_predictions_of_the_whole(four: Path, tokens: int) -> None:
    """With an exact cache; sums are in another order, so f32 agrees to about 1e-5."""
    window = Window(np.arange(96) % 300, 95)
    whole = Runner(prepare(parse_candidate(str(four))), "whole").logits(window).copy()
    pieces = Runner(prepare(parse_candidate(str(four)), chunk=tokens), "pieces").logits(window)
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-4 * np.abs(whole).max())


@pytest.mark.slow
def test_fewer_bits_cost_more(four: Path) -> None:
    exact, half, byte, nibble = candidates(four, *(f"{four}@{CACHE}={kind}" for kind in ("f32", "f16", "u8", "u4")))
    costs = [entry.total.kl.mean.value for entry in (exact, half, byte, nibble)]
    assert costs[0] == 0
    assert 0 < costs[1] < costs[2] < costs[3]
    assert "chunks of 32 tokens" in nibble.how
    assert "pieces" not in exact.how


def test_a_cache_in_the_ir_counts(four: Path, tmp_path: Path) -> None:
    settings = Settings(target="cpu", group_size=32, runtime_options={CACHE: "u4"})
    transform(four, tmp_path / "out", settings)
    (found,) = candidates(four, tmp_path / "out")
    assert f"{CACHE}=u4" in found.how


def test_a_piece_is_longer_than_the_threshold_of_the_plan(four: Path) -> None:
    (found,) = candidates(four, f"{four}@per-token,{CACHE}=u8", how=Evaluation(windows=1, window_tokens=200))
    assert "chunks of 128 tokens" in found.how


@pytest.mark.parametrize("value", ["u8", "u4"])
def test_a_model_without_a_cache_refuses_the_setting(four: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="has no KV cache"):
        evaluate(ENCODER, [f"{ENCODER}@{CACHE}={value}"], Evaluation(tokenizer=four))


def test_pieces_are_for_models_with_a_cache(four: Path) -> None:
    with pytest.raises(SettingsError, match="chunk-tokens"):
        evaluate(ENCODER, [ENCODER], Evaluation(tokenizer=four, chunk_tokens=8))


def test_a_group_size_that_the_plugin_ignores_is_refused(four: Path) -> None:
    """Groups of 64 on weights in groups of 32: the CPU plugin quantizes nothing."""
    with pytest.raises(SettingsError, match="the plugin quantizes nothing"):
        evaluate(four, [f"{four}@DYNAMIC_QUANTIZATION_GROUP_SIZE=64"], SMALL)


def test_a_setting_that_changes_nothing_is_no_measurement(four: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the rules have overlooked."""
    monkeypatch.setattr("ovpass.evaluation.preparation.check_quantizes", lambda *_: None)
    with pytest.raises(ModelError, match="changed no prediction"):
        evaluate(four, [f"{four}@DYNAMIC_QUANTIZATION_GROUP_SIZE=64"], SMALL)


@pytest.mark.slow
def test_a_plan_for_another_device_is_emulated(four: Path, tmp_path: Path) -> None:
    """A plan for an Arc is evaluated as the Arc would run it, whatever this CPU makes of it."""
    transform(four, tmp_path / "out", Settings(group_size=64, target="gpu-xmx"))
    applied, asked = candidates(four, tmp_path / "out", f"{four}@64")
    assert applied.total == asked.total
    assert applied.total.kl.mean.value > 0
    assert "gpu-xmx emulated" in applied.how


@pytest.mark.slow
def test_such_a_model_under_another_profile(four: Path, tmp_path: Path) -> None:
    transform(four, tmp_path / "out", Settings(group_size=32, target="gpu-xmx"))
    applied, asked = candidates(four, f"{tmp_path}/out@profile=cpu", f"{four}@32,profile=cpu")
    assert applied.total == asked.total


@pytest.mark.vnni
def test_a_plan_for_this_device_runs_as_it_is(four: Path, tmp_path: Path) -> None:
    transform(four, tmp_path / "out", Settings(group_size=32, target="cpu"))
    (found,) = candidates(four, tmp_path / "out")
    assert "the plugin's own, group size 32" in found.how
    assert found.total.kl.mean.value > 0


@pytest.mark.slow
def test_a_plan_that_this_cpu_cannot_run_is_emulated(
    four: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ovpass.targets.cpu.has_vnni", lambda: False)
    transform(four, tmp_path / "out", Settings(group_size=32, target="cpu"))
    applied, asked = candidates(four, tmp_path / "out", f"{four}@32,profile=cpu")
    assert applied.total == asked.total
    assert "cpu emulated" in applied.how
    with pytest.raises(SettingsError, match="VNNI"):
        evaluate(four, [f"{four}@DYNAMIC_QUANTIZATION_GROUP_SIZE=32"], SMALL)


def test_a_plan_that_this_device_does_not_run_is_refused(four: Path, tmp_path: Path) -> None:
    transform(four, tmp_path / "out", Settings(group_size=32, target="cpu"))
    with pytest.raises(SettingsError, match="the plugin quantizes nothing"):
        evaluate(four, [f"{tmp_path}/out@DYNAMIC_QUANTIZATION_GROUP_SIZE=64"], SMALL)


def test_windows_of_one_piece_do_not_read_the_cache(four: Path) -> None:
    with pytest.raises(SettingsError, match="one chunk of 32"):
        evaluate(four, [f"{four}@{CACHE}=u4"], Evaluation(windows=1, window_tokens=24))


def test_a_tokenizer_of_another_model(four: Path, tmp_path: Path) -> None:
    small = llama_folder(tmp_path / "small", vocab=8)
    with pytest.raises(ModelError, match="tokenizer"):
        evaluate(small, [f"{small}@32,profile=cpu"], replace(SMALL, tokenizer=four))


def test_keys_that_crash_the_plugin_are_refused(four: Path) -> None:
    with pytest.raises(SettingsError, match="by channel"):
        candidates(four, f"{four}@{CACHE}=u4,KEY_CACHE_QUANT_MODE=BY_CHANNEL")


@pytest.mark.slow
def test_an_emulated_cache_costs_what_that_of_the_plugin_does(four: Path) -> None:
    """The same codes: sums in another order turn few of them."""
    asked = [f"{four}@{CACHE}=u4", f"{four}@kv_key=u4,kv_value=u4", f"{four}@kv_value=mant4:window-32"]
    own, emulated, values = candidates(four, *asked)
    assert emulated.total.kl.median.value == pytest.approx(own.total.kl.median.value, rel=0.02)
    assert "kv_key=u4, kv_value=u4, fed in chunks of 32 tokens" in emulated.how
    assert 0 < values.total.kl.median.value < own.total.kl.median.value


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (f"kv_key=u4,{CACHE}=u8", "leave one out"),
        ("kv_value=mant4:window-128", "never fill a window of 128"),
        ("kv_value=mant4:window", "no group"),
        ("kv_value=nf4", "unknown"),
        ("kv_key=u4:12", "do not divide heads"),
    ],
)
def test_an_emulated_cache_that_cannot_be(four: Path, setting: str, said: str) -> None:
    with pytest.raises(OvpassError, match=said):
        evaluate(four, [f"{four}@{setting}"], SMALL)


def test_an_emulated_cache_needs_a_cache(four: Path) -> None:
    with pytest.raises(SettingsError, match="has no KV cache"):
        evaluate(ENCODER, [f"{ENCODER}@kv_key=u4"], Evaluation(tokenizer=four))


def test_an_emulated_cache_must_be_read(four: Path) -> None:
    with pytest.raises(SettingsError, match="fit in one chunk"):
        evaluate(four, [f"{four}@kv_key=u4"], replace(SMALL, chunk_tokens=96))
