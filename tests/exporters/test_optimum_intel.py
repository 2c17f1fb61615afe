"""The example of docs/optimum-intel.md. Needs the export environment: optimum-intel, transformers, torch."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

import ovpass
from ovpass.errors import OutputError
from ovpass.integrations.optimum import KEY, PLAN, save_pretrained
from ovpass.planning.plan import load_plans

DOCUMENT = Path(__file__).parents[2] / "docs/optimum-intel.md"


def blocks(language: str) -> list[str]:
    return [part.partition("```")[0] for part in DOCUMENT.read_text(encoding="utf-8").split(f"```{language}\n")[1:]]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Llama of random weights, as transformers saves one."""
    hf = importlib.import_module("transformers")
    folder = tmp_path_factory.mktemp("work")
    importlib.import_module("torch").manual_seed(0)
    config = hf.LlamaConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=256,
    )
    hf.LlamaForCausalLM(config).save_pretrained(folder / "my-llama")
    return folder


def generated(model: Any) -> list[int]:
    torch = importlib.import_module("torch")
    ids = torch.tensor([[1, 5, 9]])
    return list(model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False)[0].tolist())


def test_the_example(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    OVModelForCausalLM = importlib.import_module("optimum.intel").OVModelForCausalLM  # noqa: N806 - a class
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(workplace)
    names: dict[str, Any] = {}
    exec(compile(blocks("py")[0], str(DOCUMENT), "exec"), names)
    shown = blocks("text")[0].splitlines()
    assert [line for line in capsys.readouterr().out.splitlines() if line in shown] == shown
    assert len(generated(names["model"])) == 8

    (plan,) = load_plans(Path("fast") / PLAN).values()
    assert plan == names["done"].plans[""]
    config = json.loads((Path("fast") / "config.json").read_text(encoding="utf-8"))
    assert config[KEY]["settings"] == plan.to_dict()["settings"]

    names["model"].save_pretrained("again")
    again = OVModelForCausalLM.from_pretrained("again", compile=False)
    assert getattr(again.config, KEY) == config[KEY]
    assert again.model.get_rt_info(["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"]).value == "32"

    with pytest.raises(OutputError, match="exists"):
        save_pretrained(names["model"], "fast")
    ovpass.strip_source("fast", "stripped")
    assert len(generated(OVModelForCausalLM.from_pretrained("stripped"))) == 8
