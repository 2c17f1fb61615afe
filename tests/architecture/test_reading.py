"""YAML and JSON of users are read in one place, which bounds what a file can do."""

from __future__ import annotations

import ast

from tests.architecture.imports import PACKAGE

READERS = {"load", "loads", "safe_load", "full_load", "unsafe_load", "load_all", "safe_load_all"}
PLACE = "support/structured_text.py"
# What one process of ovpass writes for another, and what a command has just printed.
OWN = {
    "cli/nested.py",
    "conversion/hugging_face_child.py",
    "verification/child.py",
    "verification/gpu_process.py",
}


def test_yaml_and_json_are_read_in_one_place() -> None:
    reading = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Attribute(value=ast.Name(id="json" | "yaml"), attr=name) if name in READERS:
                    reading.add(path.relative_to(PACKAGE).as_posix())
                case ast.ImportFrom(module="json" | "yaml"):
                    reading.add(path.relative_to(PACKAGE).as_posix())
    assert reading == {PLACE, *OWN}
