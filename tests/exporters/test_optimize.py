"""One command makes a verified model of a Hugging Face folder, in floating point or packed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import CommandLine, contents
from tests.exporters.checkpoints import BLOCKS, pack

TARGET = "arc-b580"
ON_TARGET = ("--target", TARGET, "--max-kl", 0.5, "--windows", 1, "--window-tokens", 80)
BODY = 7 * BLOCKS


@pytest.fixture(autouse=True)
def can_simulate(simulated: Callable[[str], object]) -> None:
    """The target has to be there, so that nothing is left out for want of it."""
    simulated(TARGET)


def left_out(ran: Any) -> dict[str, str]:
    return {stage["command"]: stage["left_out"] for stage in ran["stages"] if stage["left_out"]}


def test_a_folder_in_floating_point_runs_through_all_stages(
    ovpass: CommandLine, llama_folder: Path, tmp_path: Path
) -> None:
    before, out = contents(llama_folder), tmp_path / "out"
    ran = ovpass.succeed("optimize", llama_folder, "-o", out, *ON_TARGET, "--json").json
    assert contents(llama_folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert left_out(ran) == {}
    assert ran["convert"]["source"] == "Hugging Face"
    assert ran["compress"]["mode"] == "int8_sym"
    assert ran["apply"]["counts"]["quantize"] == BODY + 1
    assert (ran["verify"]["simulated"], ran["verify"]["ok"]) == (TARGET, True)
    said = subprocess.run([sys.executable, out / "generate.py", "the man"], capture_output=True, text=True, check=True)
    assert said.stdout.strip()


def test_packed_weights_are_not_compressed_again(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    pack(llama_folder, tmp_path / "packed", "gptq", sym=True)
    ran = ovpass.succeed("optimize", tmp_path / "packed", "-o", tmp_path / "out", *ON_TARGET, "--json").json
    assert left_out(ran) == {"compress": "the weights are compressed already"}
    assert ran["apply"]["counts"]["quantize"] == BODY
    assert ran["verify"]["ok"]


def test_an_encoder_gets_the_default_of_the_target(ovpass: CommandLine, bert_folder: Path, tmp_path: Path) -> None:
    ran = ovpass.succeed("optimize", bert_folder, "-o", tmp_path / "out", "--target", TARGET, "--json").json
    assert left_out(ran).keys() == {"tune", "evaluate"}
    assert ran["verify"]["ok"]
    assert not (tmp_path / "out/generate.py").exists()


def test_what_the_exporter_refuses_ends_it(ovpass: CommandLine, llama_folder: Path, tmp_path: Path) -> None:
    pack(llama_folder, tmp_path / "packed", "gptq", checkpoint_format="marlin")
    assert "marlin" in ovpass.refuse("optimize", tmp_path / "packed", "-o", tmp_path / "out", *ON_TARGET)
    assert not (tmp_path / "out").exists()
