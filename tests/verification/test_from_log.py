"""A plan against a log of the OpenCL Intercept Layer."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import openvino as ov
import pytest

import ovpass
from ovpass.errors import SettingsError
from ovpass.settings.settings import Settings
from ovpass.verification.from_log import LogReport, verify_log
from ovpass.verification.intercept_log import InterceptLog, read_intercept_log
from ovpass.verification.question import Question
from tests.builders import linear_model
from tests.verification.command import LLAMA, CommandLine
from tests.verification.test_intercept_log import CALLED_200, QUANTIZE, TIMED_64, TIMED_200, enqueue, report, timed

XMX = Question(device="gpu-xmx")


def sized(first: int, second: int, third: int) -> str:
    """A kernel as `cliloader -dv` names it."""
    return f"{QUANTIZE} SIMD16 GWS[ {first} x {second} x {third} ] LWS[ NULL ]"


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    path = tmp_path / "linear.xml"
    ov.save_model(linear_model("w_i4_sym_g32"), path, compress_to_fp16=False)
    return path


def compared(model: Path, text: str, question: Question = XMX) -> LogReport:
    path = model.parent / "log.txt"
    path.write_text(text, encoding="utf-8")
    return verify_log(model, read_intercept_log(path), question)


@pytest.mark.parametrize("path", [CALLED_200, TIMED_200])
def test_a_recorded_log(linear: Path, path: Path) -> None:
    """Of two runs of the kernel, at K=512 as here."""
    found = verify_log(linear, read_intercept_log(path), XMX)
    assert (found.ok, [(time.k, time.activations, time.calls) for time in found.times]) == (True, [((512,), 1, 2)])


@pytest.mark.parametrize(
    ("group_size", "work_size"),
    [(None, (16, 4, 100)), (32, (100, 16, 1)), (64, (16, 8, 100)), (128, (16, 4, 100)), (None, (16, 4, 65))],
)
def test_work_sizes_as_the_plugin_enqueues_them(
    linear: Path, tmp_path: Path, group_size: int | None, work_size: tuple[int, int, int]
) -> None:
    """For 100 tokens and K=512, printed by Intel's driver."""
    ovpass.transform(linear, tmp_path / "out.xml", Settings(group_size=group_size))
    found = compared(tmp_path / "out.xml", report(timed(sized(*work_size), calls=3, low=1000, high=1000)))
    assert (found.ok, found.notes) == (True, ())
    assert [(time.calls, time.average_ns) for time in found.times] == [(3, 1000)]


def test_activations_are_told_apart_by_their_length() -> None:
    path = LLAMA / "openvino_model.xml"
    log = read_of(report(timed(sized(16, 1, 100), calls=7), timed(sized(16, 2, 100), calls=2, low=50, high=50)))
    found = verify_log(path, log, XMX)
    assert [(time.k, time.activations, time.calls) for time in found.times] == [((128,), 7, 7), ((256,), 2, 2)]
    assert found.ok
    together = verify_log(path, read_of(report(timed(QUANTIZE, calls=9))), XMX)
    assert [(time.k, time.calls) for time in together.times] == [((128, 256), 9)]
    assert any("-dv" in note for note in together.notes)
    part = verify_log(path, read_of(report(timed(sized(16, 1, 100), calls=7))), XMX)
    assert (part.ok, "2 of 9" in str(part.problem)) == (False, True)


def read_of(text: str) -> InterceptLog:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.txt"
        path.write_text(text, encoding="utf-8")
        return read_intercept_log(path)


def test_calls_that_nobody_planned(linear: Path, tmp_path: Path) -> None:
    ovpass.transform(linear, tmp_path / "out.xml", Settings(rules=(ovpass.Rule("linear", exempt=True),)))
    assert not compared(tmp_path / "out.xml", enqueue(QUANTIZE)).ok


@pytest.mark.parametrize("settings", [Settings(lowering="emulate"), Settings(target="gpu-no-xmx")])
def test_what_no_log_shows_is_refused(linear: Path, tmp_path: Path, settings: Settings) -> None:
    ovpass.transform(linear, tmp_path / "out.xml", settings)
    with pytest.raises(SettingsError, match="a log does not show"):
        compared(tmp_path / "out.xml", enqueue(QUANTIZE))


def test_the_command_fails_where_a_plan_expects_calls(ovpass: CommandLine) -> None:
    ran = ovpass("verify", LLAMA, "--intercept-log", TIMED_64, "--json")
    assert (ran.code, ran.json["ok"], ran.json["dynamic_quantize_calls"]) == (1, False, 0)
    assert "more than 64 tokens" in ran.err
    assert sum(entry["activations"] for entry in ran.json["activations"]) == 9


def test_two_records_at_once_are_refused(ovpass: CommandLine) -> None:
    ran = ovpass("verify", LLAMA, "--intercept-log", TIMED_64, "--execution-graph", TIMED_64)
    assert (ran.code, ran.out) == (2, "")
