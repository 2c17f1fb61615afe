"""Saving with a plan, for anything that saves as optimum-intel's models do."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

import ovpass
from ovpass.errors import OutputError, SettingsError
from ovpass.integrations.optimum import KEY, PLAN, save_pretrained
from ovpass.planning.plan import load_plans
from ovpass.support.atomic_output import write_text
from tests.documents import ROOT

MODELS = ROOT / "models"


@dataclass(frozen=True)
class Saved:
    """A model that was exported before."""

    folder: Path

    def save_pretrained(self, save_directory: Path) -> None:
        shutil.copytree(self.folder, save_directory)


def test_the_plan_is_in_the_folder(tmp_path: Path) -> None:
    source = MODELS / "tiny-llama-int4"
    options = {"KV_CACHE_PRECISION": "u8"}
    settings = ovpass.Settings(group_size=32, target="cpu", runtime_options=options)
    done = save_pretrained(Saved(source), tmp_path / "out", settings)
    assert done.output == tmp_path / "out"
    assert load_plans(tmp_path / "out" / PLAN) == done.plans
    config = json.loads((tmp_path / "out/config.json").read_text(encoding="utf-8"))
    note = config.pop(KEY)
    assert config == json.loads((source / "config.json").read_text(encoding="utf-8"))
    assert note["settings"] == {"group_size": 32, "target": "cpu", "runtime_options": options}
    assert note["run_properties"] == {"INFERENCE_PRECISION_HINT": "f32"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_several_models_have_a_plan_each(tmp_path: Path) -> None:
    """The folder of a diffusion pipeline tells of them in its own file."""
    for name, config in (("t5", "config.json"), ("sd3", "model_index.json")):
        out = tmp_path / name
        done = save_pretrained(Saved(MODELS / "zoo" / name), out, ovpass.Settings())
        assert len(done.plans) == 2
        assert load_plans(out / PLAN) == done.plans
        assert json.loads((out / config).read_text(encoding="utf-8"))[KEY]["plan"] == PLAN


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    model = Saved(MODELS / "tiny-llama-int4")
    with pytest.raises(SettingsError):
        save_pretrained(model, tmp_path / "out", ovpass.Settings(rules=(ovpass.Rule("nothing", exempt=True),)))
    assert list(tmp_path.iterdir()) == []
    write_text(tmp_path / "out/mine.txt", "kept")
    with pytest.raises(OutputError, match="exists"):
        save_pretrained(model, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(MODELS / "tiny-encoder-int8", bare)
    with pytest.raises(OutputError, match=r"config\.json"):
        save_pretrained(Saved(bare), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bare"]
