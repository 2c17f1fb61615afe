"""Up to how many tokens quantization is skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from ovpass.verification import Observation
from ovpass.verification.observation import TokenRun
from ovpass.verification.threshold import LARGEST, find_threshold
from tests.builders import encoder_model, linear_model, llama_model
from tests.simulated_gpu import Job

THRESHOLD = {"OV_GPU_DYNAMIC_QUANTIZATION_THRESHOLD": "128"}


@pytest.mark.parametrize("threshold", [0, 1, 2, 63, 64, 70, 128, 1000, LARGEST - 1])
def test_bisection(threshold: int) -> None:
    tried = []

    def run(tokens: int) -> TokenRun:
        tried.append(tokens)
        return TokenRun(tokens, {"a": tokens > threshold, "b": False})

    assert find_threshold(run) == threshold
    assert len(tried) <= (2 if threshold == 64 else 15)
    assert threshold <= 65 or min(tried[2:]) > 65


def test_none_where_it_never_runs() -> None:
    assert find_threshold(lambda tokens: TokenRun(tokens, {"a": False})) is None
    assert find_threshold(lambda tokens: TokenRun(tokens, {})) is None


@pytest.fixture(scope="module")
def seen(simulated_gpu: Callable[..., list[Observation]]) -> dict[str, Observation]:
    plain = linear_model("w_i8_sym_ch")
    jobs = {
        "plain": Job(plain, tokens=(64, 65), bisect=True),
        "set": Job(plain, environment=THRESHOLD, tokens=(128, 129), bisect=True),
        "zero": Job(plain, environment={"OV_GPU_DYNAMIC_QUANTIZATION_THRESHOLD": "0"}, bisect=True),
        "off": Job(plain, {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}, tokens=(65,), bisect=True),
        "static": Job(linear_model("w_i8_sym_ch", static_tokens=5), tokens=(64, 65), bisect=True),
        "stateless": Job(llama_model(blocks=1, stateful=False), tokens=(65,)),
        "encoder": Job(encoder_model(blocks=1, positions=128), tokens=(65,)),
    }
    return dict(zip(jobs, simulated_gpu(list(jobs.values())), strict=True))


def executed(seen: Observation) -> list[tuple[int | None, set[bool]]]:
    return [(run.tokens, set(run.executed.values())) for run in seen.runs]


def test_more_than_64_tokens_are_quantized(seen: Mapping[str, Observation]) -> None:
    assert executed(seen["plain"]) == [(64, {False}), (65, {True})]


@pytest.mark.parametrize("model", ["stateless", "encoder"])
def test_whole_models_run(seen: Mapping[str, Observation], model: str) -> None:
    assert seen[model].error is None
    assert executed(seen[model]) == [(65, {True})]


def test_more_than_the_variable_says(seen: Mapping[str, Observation]) -> None:
    assert executed(seen["set"]) == [(128, {False}), (129, {True})]


def test_static_shapes_are_always_quantized(seen: Mapping[str, Observation]) -> None:
    assert executed(seen["static"]) == [(64, {True}), (65, {True})]


@pytest.mark.parametrize(("model", "found"), [("plain", 64), ("set", 128), ("zero", 0), ("static", 0), ("off", None)])
def test_threshold_found(seen: Mapping[str, Observation], model: str, found: int | None) -> None:
    assert (seen[model].error, seen[model].threshold) == (None, found)
