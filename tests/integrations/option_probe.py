"""Ask a plugin which value of an option it took: `python -m tests.integrations.option_probe QUESTIONS` prints JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import Any
from unittest.mock import patch

import openvino as ov


def answers(questions: list[dict[str, Any]]) -> list[str | None]:
    """For each question (model, device, name, and who says what) the value; None where the plugin throws."""
    core = ov.Core()
    return [_answer(core, **question) for question in questions]


def _answer(
    core: ov.Core,
    model: str,
    device: str,
    name: str,
    ir: dict[str, str],
    properties: dict[str, str],
    environment: dict[str, str],
) -> str | None:
    network = core.read_model(model)
    for option, value in ir.items():
        network.set_rt_info(value, ["runtime_options", option])
    try:
        with patch.dict(os.environ, environment):
            return _text(core.compile_model(network, device, properties).get_property(name))
    except RuntimeError:
        return None


def _text(value: object) -> str:
    if isinstance(value, ov.Type):
        return str(value.to_string())
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    print(json.dumps(answers(json.loads(sys.argv[1]))))
