"""optimize lets tune choose the KV cache, too, and says before any work where there is none to choose."""

from __future__ import annotations

from pathlib import Path

import pytest

from ovpass.optimization.generate_script import script
from tests.cli.command import ENCODER, LLAMA, CommandLine, contents

KV = "--kv"


def test_it_takes_time_that_a_dry_run_tells(ovpass: CommandLine, tmp_path: Path) -> None:
    def told(*options: object) -> tuple[bool, float]:
        ran = ovpass.succeed("optimize", LLAMA, "-o", tmp_path / "out", "--dry-run", *options, "--json").json
        tune = next(stage["arguments"] for stage in ran["stages"] if stage["command"] == "tune")
        return KV in tune, ran["estimate"]["minutes"]

    (without, shorter), (with_it, longer) = told(), told(KV, "auto")
    assert (without, with_it) == (False, True)
    assert longer > shorter


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        (ENCODER, (KV, "auto"), "single language model"),
        (LLAMA, (KV, "u5"), "u8"),
        (LLAMA, (KV, ""), "auto"),
        (LLAMA, (KV, "i8"), "cpu does not store i8"),
        (LLAMA, (KV, "auto", "--window-tokens", 32), "no KV cache is read"),
    ],
)
def test_what_has_no_cache_to_choose(
    ovpass: CommandLine, tmp_path: Path, model: Path, options: tuple[object, ...], words: str
) -> None:
    assert words in ovpass.refuse("optimize", model, "-o", tmp_path / "out", "--target", "cpu", *options, "--quiet")
    assert not contents(tmp_path)


def test_on_other_devices_the_script_asks_for_a_cache_that_all_have() -> None:
    """A CPU does not compile what a GPU's plan asks for in the IR."""
    asked = {"KV_CACHE_PRECISION": "i8"}
    assert "'KV_CACHE_PRECISION': 'f16'" in script({}, asked, "GPU", asked)
    assert "f16" not in script({}, {}, "GPU", {})
