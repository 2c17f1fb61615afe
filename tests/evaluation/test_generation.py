"""Text by OpenVINO GenAI: that it is the prepared model that runs, one prompt beside others, and what is refused."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from ovpass.errors import ExtraError, ModelError, SettingsError
from ovpass.evaluation.candidates import parse_candidate
from ovpass.evaluation.generation import Generator, require_generation
from ovpass.evaluation.last_token import project_last_token
from ovpass.evaluation.preparation import CLEAN, Prepared, prepare, prepare_clean
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.tokenizer import Ids
from tests.builders import llama_model
from tests.cli.command import LLAMA

PROMPT = np.random.default_rng(0).integers(3, 250, 80)


def emulated(settings: str = "per-token") -> Prepared:
    return prepare(parse_candidate(f"{LLAMA}@{settings}"), generates=True)


def clean() -> Prepared:
    prepared = prepare_clean(parse_candidate(str(LLAMA)))
    assert prepared is not None
    return prepared


@cache
def generator() -> Generator:
    return Generator(clean(), "clean", LLAMA)


def ln_p(prepared: Prepared, ids: Ids, token: int) -> float:
    logits = Runner(prepared, "alone").following(ids).astype(np.float64)
    return float(logits[token] - np.logaddexp.reduce(logits))


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["per-token", "group_size=32,profile=arc-b580", "32,profile=cpu"])
def test_it_runs_what_was_prepared(settings: str) -> None:
    """GenAI's own score of a token is that of the quantized model, and far from that of the model without."""
    prepared = emulated(settings)
    token, score = Generator(prepared, settings, LLAMA).score(PROMPT)
    quantized, plain = (ln_p(model, PROMPT, token) for model in (prepared, clean()))
    assert abs(score - quantized) < 0.1 * abs(quantized - plain)  # the rest is the order of sums in f32


@pytest.mark.slow
def test_another_model_than_the_prepared_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Generator(emulated(), "x", LLAMA)
    token, score = made.score(PROMPT)
    monkeypatch.setattr(made, "score", lambda _: (token, score - 0.1))
    with pytest.raises(ModelError, match="does not run this quantization"):
        made.generate([PROMPT], {"max_new_tokens": 1})


@pytest.mark.slow
def test_a_batch_answers_as_each_prompt_alone() -> None:
    """Though its rows end at different places: the second one's own fourth token ends it here, and not the others."""
    prompts = [PROMPT, PROMPT[20:], PROMPT[::-1].copy(), PROMPT[40:]]
    options = {"max_new_tokens": 12, "do_sample": False}
    alone = [generator().generate([prompt], options)[0] for prompt in prompts]
    ending = alone[0].text[2:4]
    stopped = {**options, "stop_strings": {ending}}
    wanted = [answer.text.partition(ending)[0] for answer in alone]
    assert wanted[0] != alone[0].text
    assert wanted[1:] == [answer.text for answer in alone[1:]]
    assert [answer.text for answer in generator().generate(prompts, stopped)] == wanted
    assert [generator().generate([prompt], stopped)[0].text for prompt in prompts] == wanted


@pytest.mark.slow
def test_a_seed_samples_the_same_again() -> None:
    options = {"max_new_tokens": 12, "do_sample": True, "temperature": 2.0}
    first, again, other = (
        generator().generate([PROMPT], {**options, "rng_seed": seed})[0].ids.tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.slow
def test_prompts_within_the_threshold() -> None:
    made = Generator(emulated(), "x", LLAMA)
    short, long = np.zeros(64, np.int64), np.zeros(65, np.int64)
    assert made.check([[long], [long]]) == ()
    assert made.check([[short], [long]])[0].startswith("1 of 2 prompts")
    assert made.check([[short, short]]) == ()
    with pytest.raises(SettingsError, match="nothing is quantized"):
        made.check([[short], [short[:10]]])
    assert generator().check([[short]]) == ()


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"temperature": "hot"}, {"do_sample": True, "temperature": -1.0}])
def test_options_that_genai_refuses(options: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="temperature"):
        generator().generate([PROMPT], {"max_new_tokens": 1, **options})


def test_the_last_token_alone_is_projected() -> None:
    ids = {"input_ids": PROMPT[None], "attention_mask": np.ones((1, 80), np.int64), "position_ids": np.arange(80)[None]}
    inputs = {**ids, "beam_idx": np.zeros(1, np.int32)}

    def logits(model: ov.Model) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        request = ov.Core().compile_model(model, "CPU", dict(CLEAN)).create_infer_request()
        return np.array(request.infer(inputs)["logits"])

    whole, last = logits(llama_model()), logits(project_last_token(llama_model()))
    assert last.shape == (1, 1, whole.shape[-1])
    np.testing.assert_allclose(last[0, 0], whole[0, -1], atol=1e-5)


def test_what_generation_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"openvino_tokenizer\.xml"):
        require_generation(tmp_path)
    monkeypatch.setitem(sys.modules, "openvino_genai", None)
    with pytest.raises(ExtraError, match=r"ovpass\[genai\]"):
        require_generation(LLAMA)
