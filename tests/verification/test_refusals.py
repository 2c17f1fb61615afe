"""Devices that are not there, models that do not compile, children that die: said plainly, and nothing left behind."""

from __future__ import annotations

import signal
from pathlib import Path

import openvino as ov
import pytest

from ovpass.errors import VerifyError
from ovpass.passes import CapGroups, Exempt, PassManager
from ovpass.verification import Order, SimulatedGpu
from ovpass.verification.driver import SYSTEM, SYSTEM_DRIVER, VARIABLE
from ovpass.verification.gpu_process import run_in_child
from ovpass.verification.refusals import refusal
from ovpass.verification.simulated_gpu import INSTALL_HELP, RECEIVER, installed_version, is_simulated
from tests.builders import linear_model, trio_model
from tests.missing import lacking
from tests.passes.helpers import transformed
from tests.support.processes import wait_until
from tests.verification.command import ENCODER, CommandLine, saved

NEW = (26,)
ARC = ("--simulate", "arc-a770")


@pytest.mark.parametrize(
    ("receiver", "simulated"), [("1", True), ("2", True), ("0", False), ("-1", False), ("", False)]
)
def test_where_the_driver_sends_commands_tells_a_simulated_gpu(
    receiver: str, simulated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RECEIVER, receiver)
    assert is_simulated() is simulated


@pytest.fixture
def no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No OpenCL driver that a loader could find."""
    (tmp_path / "vendors").mkdir()
    monkeypatch.setenv(VARIABLE, SYSTEM)
    monkeypatch.setenv("OCL_ICD_VENDORS", str(tmp_path / "vendors"))
    monkeypatch.setenv("OCL_ICD_FILENAMES", "")


@pytest.mark.usefixtures("no_driver")
def test_no_gpu_offers_a_simulated_one(ovpass: CommandLine) -> None:
    error = ovpass.refuse("verify", ENCODER)
    assert "no GPU" in error
    assert "--simulate arc-a770" in error


@pytest.mark.usefixtures("no_driver")
def test_no_driver_says_what_to_install(ovpass: CommandLine) -> None:
    ran = ovpass("verify", ENCODER, *ARC)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.endswith(f"{INSTALL_HELP}\n")


def test_install_help(ovpass: CommandLine) -> None:
    assert "--install-driver" in ovpass.succeed("verify", "--install-help").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--simulate", "arc-b850"), "arc-b580"),
        (("--simulate", "arc-a770", "--device", "CPU"), "leave out simulate"),
        (("--device", "NPU"), "CPU, GPU"),
        ((*ARC, "--tokens", "64,many"), "1,64,65"),
        ((*ARC, "--tokens", ""), "1,64,65"),
        ((*ARC, "--tokens", "64,0"), "1 or more"),
        ((*ARC, "--tokens", "-1"), "1 or more"),
        ((*ARC, "--timeout", "0"), "positive"),
        ((*ARC, "--timeout", "nan"), "positive"),
        ((*ARC, "--timeout", "inf"), "positive"),
        ((*ARC, "--timeout", "1e12"), "1,000,000"),
        (("--device", "CPU", "--tokens", "65"), "any number of tokens"),
        (("--device", "CPU", "--find-threshold"), "any number of tokens"),
        ((*ARC, "--property", "THIS"), "NAME=VALUE"),
        ((*ARC, "--property", "DYNAMIC_QUANTIZATION_GROUP_SIZE=abc"), "not a number"),
    ],
)
def test_bad_options(ovpass: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    assert said in ovpass.refuse("verify", ENCODER, *arguments)


def test_no_model(ovpass: CommandLine, tmp_path: Path) -> None:
    assert "MODEL" in ovpass.refuse("verify")
    assert "none" in ovpass.refuse("verify", tmp_path / "none", *ARC)
    path = saved(linear_model("w_f16_plain"), tmp_path)
    assert "no MatMul with compressed weights" in ovpass.refuse("verify", path, *ARC)


def test_the_cpus_own_words(ovpass: CommandLine) -> None:
    error = ovpass.refuse("verify", ENCODER, "--device", "CPU", "--property", "INFERENCE_PRECISION_HINT=f7")
    assert "openvino_model.xml" in error
    assert "Exception from" not in error


# Children -------------------------------------------------------------------------------------------------------------


def assert_gone(marker: str) -> None:
    wait_until(lambda: not environments_with(marker))  # helpers of the child are not this process's to wait for


def environments_with(marker: str) -> list[Path]:
    """The processes that have this in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            content = (process / "environ").read_bytes()
        except OSError:
            continue
        if marker.encode() in content:
            found.append(process)
    return found


def test_a_child_that_hangs_is_ended(ovpass: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    marker = f"OVPASS_TEST_MARKER={tmp_path}"
    monkeypatch.setenv(*marker.split("="))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert "longer than 0.3 s" in ovpass.refuse("verify", ENCODER, *ARC, "--timeout", "0.3")
    assert_gone(marker)


@pytest.mark.slow
def test_its_helpers_are_ended_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    marker = f"OVPASS_TEST_MARKER={tmp_path}"
    (tmp_path / "sitecustomize.py").write_text("import subprocess\nsubprocess.run(['sleep', '60'])\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(VerifyError, match="longer than 1 s"):
        run_in_child([], dict([marker.split("=")]), 1)
    assert_gone(marker)


def test_a_child_that_crashes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(VerifyError, match="was killed by SIGSEGV"):
        run_in_child([], {}, 30)


def test_a_child_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('no good')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(VerifyError, match=r"ended with 1: .*no good"):
        run_in_child([], {}, 30)


INTEL = "/etc/OpenCL/vendors/intel.icd"
"""With another driver beside it, the plugin does not divide by zero."""


@pytest.mark.usefixtures("simulated_gpu")
def test_the_plugin_itself_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a number of execution units it divides by zero, on drivers that accept that."""
    monkeypatch.setenv(VARIABLE, SYSTEM)
    if (installed_version(SYSTEM_DRIVER) or NEW) >= NEW:
        lacking("the system's driver of 2022, as Debian 12 has it")
    order = Order(str(saved(linear_model("w_i8_sym_ch"), tmp_path)))
    with pytest.raises(VerifyError, match=signal.SIGFPE.name):
        SimulatedGpu(timeout=60).look([order], {"HardwareInfoOverride": "default", "OCL_ICD_VENDORS": INTEL})


# Models that the plugin refuses ---------------------------------------------------------------------------------------


def dynamic_rank() -> ov.Model:
    model = linear_model("w_i8_sym_ch")
    model.get_parameters()[0].set_partial_shape(ov.PartialShape.dynamic())
    model.validate_nodes_and_infer_types()
    return model


def two_kinds_of_zero_points() -> ov.Model:
    return PassManager([Exempt({"linear_0": "f16-zero-point"})]).run(trio_model("w_u4_asym_g64")).model


def two_group_sizes() -> ov.Model:
    sizes = {"linear_0": 64, "linear_1": 64, "linear_2": 32}
    return PassManager([CapGroups(sizes)]).run(trio_model("w_u8_asym_ch")).model


@pytest.mark.usefixtures("simulated_gpu")
def test_refused_models_with_their_likely_cause(tmp_path: Path) -> None:
    builds = {dynamic_rank: "dynamic rank", two_kinds_of_zero_points: "alike", two_group_sizes: "alike"}
    orders = []
    for build in builds:
        (tmp_path / build.__name__).mkdir()
        orders.append(Order(str(saved(build(), tmp_path / build.__name__))))
    orders.append(Order(orders[0].model, {"NO_SUCH_PROPERTY": "1"}))
    for seen, cause in zip(SimulatedGpu().look(orders), [*builds.values(), "property"], strict=True):
        assert seen.error is not None
        assert not seen.compiled
        told = refusal(seen.error)
        assert cause in told.partition("(likely cause: ")[2]
        assert "\n" not in told
        assert "Exception from" not in told
        assert len(told) < 500


@pytest.mark.usefixtures("simulated_gpu")
def test_refused_in_one_line(ovpass: CommandLine, tmp_path: Path) -> None:
    path = saved(transformed(linear_model("w_i8_sym_ch")), tmp_path)
    option = ("--property", "DYNAMIC_QUANTIZATION_GROUP_SIZE=99999", "--tokens", 65)
    error = ovpass.refuse("verify", path, *ARC, *option)
    assert str(path) in error
    assert "does not run on GPU" in error
    assert "use per-token" in error


def test_unknown_words_are_passed_on() -> None:
    assert refusal("Exception from a.cpp:1:\nException from b.cpp:2:\nno such thing\n\n") == "no such thing"
    assert refusal("Exception from a.cpp:1:") == "Exception from a.cpp:1:"
