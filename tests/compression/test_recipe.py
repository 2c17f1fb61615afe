"""Options that do not go together are refused before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ovpass.compression.calibration import Calibration
from ovpass.compression.modes import MODES, NNCF, PER_CHANNEL
from ovpass.compression.recipe import Recipe
from ovpass.errors import SettingsError


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"mode": "int4"}, "did you mean 'int4_sym'"),
        ({"mode": "int8_sym", "group_size": 128}, "per channel"),
        ({"mode": "int8_sym", "ratio": 0.5}, "ratio"),
        ({"mode": "int8_asym", "all_layers": True}, "all-layers"),
        ({"mode": "int8_asym", "backup_mode": "none"}, "backup-mode"),
        ({"mode": "int8_sym", "awq": True}, "awq"),
        ({"mode": "mxfp4", "group_size": 64}, "32"),
        ({"mode": "mxfp4", "group_size": PER_CHANNEL}, "group-size per-channel"),
        ({"mode": "nvfp4", "group_size_fallback": "adjust"}, "adjust"),
        ({"mode": "fp8_e4m3", "gptq": True}, "int4_sym"),
        ({"mode": "cb4", "lora_correction": True}, "lora-correction"),
        ({"mode": "int4_sym", "gptq": True, "lora_correction": True}, "gptq"),
        ({"mode": "int4_sym", "ratio": 0.0}, "ratio 0.0"),
        ({"mode": "int4_sym", "ratio": 1.5}, "ratio 1.5"),
        ({"mode": "int4_sym", "group_size": 0}, "group-size 0"),
        ({"mode": "int4_sym", "backup_mode": "int8"}, "int8_sym"),
        ({"mode": "int4_sym", "ignore": ("kind:nothing",)}, "kind:nothing"),
        ({"mode": "codebook"}, "cb4"),
        ({"smooth": 0.0}, "smooth 0.0"),
        ({"smooth": 1.0}, "smooth 1.0"),
        ({"mode": "nf4", "codebook": Path("table.npy")}, "codebook"),
    ],
)
def test_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        Recipe(**options)


def test_every_mode_of_nncf_is_known() -> None:
    import nncf  # noqa: PLC0415

    assert {mode.name for mode in MODES.values() if mode.engine == NNCF} == {
        mode.value for mode in nncf.CompressWeightsMode
    }


def test_groups_are_those_of_the_mode_where_none_is_given() -> None:
    assert [Recipe(mode).weight_group for mode in ("int8_sym", "int4_sym", "mxfp4", "nvfp4")] == [None, 128, 32, 16]
    assert Recipe("int4_sym", group_size=PER_CHANNEL).weight_group is None


@pytest.mark.parametrize("size", [{"samples": 0}, {"tokens": 1}])
def test_calibration_needs_something_to_look_at(size: dict[str, int]) -> None:
    with pytest.raises(SettingsError):
        Calibration(**size)  # type: ignore[arg-type]
