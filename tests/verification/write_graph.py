"""Compile a model and write its execution graph: `python -m tests.verification.write_graph MODEL DEVICE FILE [K=V]`."""

from __future__ import annotations

import sys

import openvino as ov


def main() -> None:
    model, device, file, *properties = sys.argv[1:]
    compiled = ov.Core().compile_model(model, device, dict(text.split("=") for text in properties))
    ov.serialize(compiled.get_runtime_model(), file)


if __name__ == "__main__":
    main()
