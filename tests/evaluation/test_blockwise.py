"""`evaluate --blockwise`: the numbers of the whole way, and what it cannot do is refused before anything runs."""

from __future__ import annotations

import pytest

from ovpass.errors import SettingsError
from ovpass.evaluation.evaluate import evaluate
from ovpass.evaluation.options import Evaluation
from ovpass.evaluation.report import report_to_dict
from tests.cli.command import ENCODER, LLAMA, CommandLine

SMALL = ("--windows", 2, "--window-tokens", 48)


@pytest.mark.slow
def test_numbers_are_those_of_the_whole_way_bit_for_bit() -> None:
    reports = []
    for blockwise in (False, True):
        how = Evaluation(windows=2, window_tokens=24, blockwise=blockwise)
        report = report_to_dict(evaluate(LLAMA, [f"{LLAMA}@group_size=32,profile=cpu"], how))
        for judged in report["candidates"]:
            del judged["seconds"]
        assert (report.pop("peak_mb") is not None) == blockwise
        reports.append(report)
    assert reports[0] == reports[1]


@pytest.mark.parametrize("settings", ["KV_CACHE_PRECISION=u8", "kv_key=u8"])
def test_a_kv_cache_is_refused(settings: str) -> None:
    with pytest.raises(SettingsError, match="KV cache"):
        evaluate(LLAMA, [f"{LLAMA}@{settings}"], Evaluation(windows=1, window_tokens=48, blockwise=True))


def test_other_models_and_chunks_are_refused(ovpass: CommandLine) -> None:
    assert "--blockwise" in ovpass.refuse("evaluate", ENCODER, f"{ENCODER}@per-token", "--blockwise", *SMALL)
    assert "--blockwise" in ovpass.refuse(
        "evaluate", LLAMA, f"{LLAMA}@per-token", "--blockwise", "--chunk-tokens", 8, *SMALL
    )
