"""Language models on text: the two costs, and what a model of ovpass's own is compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest

import ovpass
from ovpass import Settings
from ovpass.errors import ModelError
from ovpass.evaluation.candidates import parse_candidate
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.language_model import CandidateResult, TextReport
from ovpass.evaluation.options import Evaluation
from ovpass.evaluation.preparation import prepare, prepare_clean, prepare_reference
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.windows import Window
from tests.builders import llama_model
from tests.cli.command import LLAMA
from tests.evaluation.models import folder_of, llama_folder

pytestmark = pytest.mark.slow

SMALL = Evaluation(windows=2, window_tokens=96)


def judged(reference: object, *candidates: object) -> TextReport:
    report = evaluate(str(reference), [str(candidate) for candidate in candidates], SMALL)
    assert isinstance(report, TextReport)
    return report


def one(reference: object, candidate: object) -> CandidateResult:
    return judged(reference, candidate).candidates[0]


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return llama_folder(tmp_path_factory.mktemp("models") / "eight", fmt="w_i8_sym_ch")


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same weights in four bits."""
    return llama_folder(tmp_path_factory.mktemp("models") / "four", fmt="w_i4_sym_g32")


def test_the_two_costs_are_kept_apart(eight: Path, four: Path) -> None:
    both = one(eight, f"{four}@per-token")
    assert both.weights == one(eight, four).total
    assert both.activations == one(four, f"{four}@per-token").total
    assert both.weights is not None
    assert both.activations is not None
    assert both.activations.kl.mean.value < both.weights.kl.mean.value < 10 * both.total.kl.mean.value


def test_with_the_references_weights_activations_are_all(four: Path) -> None:
    found = one(four, f"{four}@per-token")
    assert found.weights is None
    assert found.activations == found.total
    assert found.total.kl.mean.value > 0


def test_a_model_is_no_other_than_itself(eight: Path) -> None:
    report = judged(eight, eight)
    assert report.candidates[0].total.kl.maximum == 0
    assert report.candidates[0].total.top1.value == 100
    assert report.candidates[0].total.perplexity == report.perplexity


def test_what_apply_made_is_what_a_setting_says(four: Path, tmp_path: Path) -> None:
    """The candidate's own clean base is the model before apply."""
    settings = Settings(lowering="emulate", group_size=32, target="cpu", threshold=0)
    ovpass.transform(four, tmp_path / "applied", settings)
    applied, asked = one(four, tmp_path / "applied"), one(four, f"{four}@group_size=32,profile=cpu")
    assert applied.total == asked.total
    assert applied.weights is not None
    assert applied.weights.kl.maximum == 0
    assert applied.activations == applied.total


def test_as_reference_such_a_model_runs_clean(four: Path, tmp_path: Path) -> None:
    ovpass.transform(four, tmp_path / "applied", Settings(lowering="emulate", threshold=0))
    assert judged(tmp_path / "applied", four).candidates[0].total.kl.maximum == 0


def test_weights_that_cannot_be_had_back(four: Path, tmp_path: Path) -> None:
    ovpass.transform(four, tmp_path / "int8", Settings(lowering="int8", requantize=True))
    assert prepare_clean(parse_candidate(str(tmp_path / "int8"))) is None
    found = one(four, tmp_path / "int8")
    assert (found.weights, found.activations) == (None, None)
    assert found.total.kl.mean.value > 0


@pytest.mark.vnni
def test_a_group_size_in_the_model_is_in_force(four: Path, tmp_path: Path) -> None:
    ovpass.transform(four, tmp_path / "native", Settings(group_size=32, target="cpu"))
    native, asked = one(four, tmp_path / "native"), one(four, f"{four}@DYNAMIC_QUANTIZATION_GROUP_SIZE=32")
    assert native.total == asked.total
    assert native.total.kl.mean.value > 0


def test_a_plan_is_emulated_for_its_target(four: Path, tmp_path: Path) -> None:
    model = ov.Core().read_model(four / "openvino_model.xml")
    ovpass.make_plan(model, Settings(group_size=32)).save(tmp_path / "plan.yaml")
    assert one(four, f"{four}@plan={tmp_path}/plan.yaml").total == one(four, f"{four}@32").total


def test_a_reference_with_a_setting_is_not_clean(four: Path) -> None:
    reference = parse_candidate(f"{four}@32")
    assert prepare_reference(reference).plan is not None
    found = one(f"{four}@32", f"{four}@32")
    assert found.total.kl.maximum == 0
    assert found.weights is not None
    assert found.weights.kl.mean.value > 0


def test_logits_are_found_by_name(eight: Path) -> None:
    window = Window(np.arange(3, 19, dtype=np.int64), 15)
    expected = Runner(prepare(parse_candidate(str(eight))), "model").logits(window)
    model = llama_model(fmt="w_i8_sym_ch", stateful=False)
    reordered = ov.Model(list(reversed(model.get_results())), model.get_parameters(), "reordered")
    folder = folder_of(reordered, eight.parent / "reordered")
    found = Runner(prepare(parse_candidate(str(folder))), "reordered").logits(window)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)  # the cache of one lives inside the graph


def test_other_vocabularies_are_named(eight: Path, tmp_path: Path) -> None:
    other = llama_folder(tmp_path / "other", vocab=400)
    with pytest.raises(ModelError, match=r"400 tokens.*the reference 320"):
        one(eight, other)


def test_settings_need_sites(tmp_path: Path) -> None:
    plain = llama_folder(tmp_path / "plain", fmt="w_f32_plain", lm_head_fmt="w_f32_plain")
    assert one(LLAMA, plain).total.kl.mean.value > 0
    with pytest.raises(ModelError, match="no MatMul with compressed weights"):
        one(LLAMA, f"{plain}@per-token")
