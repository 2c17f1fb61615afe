"""KV caches, scores of tasks and answers are told where they were measured."""

from __future__ import annotations

from typing import Any

from ovpass.reporting.answering import answers_told, compares_caches
from ovpass.reporting.page import render
from ovpass.reporting.verdict import verdict
from tests.reporting.made import evaluate, names, plan, side, tune

PLAN = {**plan(names(15)), "settings": {"group_size": 64}}


def measured(candidate: str, **found: Any) -> dict[str, Any]:
    run = evaluate(candidate)
    run["reference_harness"] = {"maths": {"right": {"value": 0.4, "stderr": 0.07}}}
    run["candidates"][0] |= found
    return run


def test_scores_and_answers_are_in_the_verdict() -> None:
    answers = {
        "prompts": 8,
        "identical": 6,
        "first_divergent_token": 9.5,
        "equal_tokens_percent": 91.2,
        "new_tokens": 48,
    }
    scores = {"maths": {"right": {"value": 0.38, "stderr": 0.07}}}
    shown = side([PLAN, measured("models/made@64", harness=scores, answers=answers)])
    told = answers_told(shown)
    assert told == [
        "maths: right 0.38 ± 0.07 instead of 0.4 ± 0.07.",
        "6 of 8 answers to prompts are the same, and 91.2 % of their tokens.",
    ]
    assert set(told) <= {detail for line in verdict(shown) for detail in line.details}


def test_a_kv_cache_has_a_column() -> None:
    shown = side([PLAN, measured("models/made@64,kv_key=u8,kv_value=u4")])
    assert answers_told(shown) == ["With a KV cache of kv_key=u8, kv_value=u4, whose cost counts."]
    assert '<td role="cell" data-label="KV cache">kv_key=u8, kv_value=u4</td>' in render(shown)
    assert not any(compares_caches(run) for run in side([PLAN, measured("models/made@64")]).evaluations)
    assert "KV_CACHE_PRECISION=u8" in render(side([PLAN, measured("models/made@KV_CACHE_PRECISION=u8")]))


def test_a_kv_cache_that_tune_chose_is_in_the_verdict() -> None:
    cache = {"chosen": {"keys": "u8", "values": "u4", "bytes_per_token": 10080}, "bytes_in_f16": 23040}
    told = {detail for line in verdict(side([{**tune(PLAN), "kv_cache": cache}])) for detail in line.details}
    assert "KV cache: keys u8, values u4: 10080 bytes a token, in f16 23040." in told


def test_nothing_is_told_of_another_plan() -> None:
    scores = {"maths": {"right": {"value": 0.38}}}
    assert answers_told(side([PLAN, measured("models/made@32", harness=scores)])) == []
    assert answers_told(side([PLAN])) == []
