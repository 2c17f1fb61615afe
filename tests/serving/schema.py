"""What OpenVINO Model Server takes in config.json, described by field.

From the schema in model_server/src/schema.cpp (2026.4): an entry has the fields listed and no others, and `name` must
be there; a list of models must be there, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Fields = Mapping[str, type]

MODEL: Fields = {
    "name": str,
    "base_path": str,
    "graph_path": str,
    "subconfig": str,
    "target_device": str,
    "plugin_config": dict,
    "nireq": int,
    "allow_cache": bool,
}
GRAPH: Fields = {"name": str, "base_path": str, "graph_path": str, "subconfig": str}
LISTS: Fields = {"model_config_list": list, "mediapipe_config_list": list, "monitoring": dict}


def check(config: Any) -> None:
    """Assert that the server takes the configuration."""
    _fields(config, LISTS, "model_config_list")
    for entry in config["model_config_list"]:
        assert entry.keys() == {"config"}
        _fields(entry["config"], MODEL, "name")
        for value in entry["config"].get("plugin_config", {}).values():
            assert isinstance(value, str | bool | int | float)
    for graph in config.get("mediapipe_config_list", []):
        _fields(graph, GRAPH, "name")


def _fields(found: Any, known: Fields, required: str) -> None:
    assert isinstance(found, dict)
    assert required in found
    assert {name: isinstance(value, known[name]) for name, value in found.items()} == dict.fromkeys(found, True)
