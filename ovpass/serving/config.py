"""Write config.json: what OpenVINO Model Server offers. The server checks it by a schema in its src/schema.cpp."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ovpass.serving.servables import Servable
from ovpass.serving.serving import Serving


def config_text(servables: Sequence[Servable], serving: Serving) -> str:
    """The configuration; paths are relative to its folder."""
    graphs = [{"name": servable.name, "base_path": servable.name} for servable in servables if servable.generates]
    models = [{"config": _model(servable, serving)} for servable in servables if not servable.generates]
    config: dict[str, Any] = {"model_config_list": models}
    if graphs:
        config["mediapipe_config_list"] = graphs
    return json.dumps(config, indent=2) + "\n"


def _model(servable: Servable, serving: Serving) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": servable.name,
        "base_path": servable.name,
        "target_device": serving.device,
    }
    if serving.run.properties:
        entry["plugin_config"] = dict(serving.run.properties)
    return entry
