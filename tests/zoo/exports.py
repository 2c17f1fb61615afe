"""The models of models/zoo with what their exporter wrote down, and what is asked of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from ovpass.targets.reference_arithmetic import Array
from ovpass.verification.inputs import input_specs, make_inputs

ZOO = Path(__file__).resolve().parents[2] / "models" / "zoo"
NAMES = sorted(path.name for path in ZOO.iterdir() if path.is_dir())
TOKENS = 8


@dataclass(frozen=True)
class Export:
    """One IR of the zoo. `readers` are the MatMuls that read each compressed weight, `modes` the weights' modes."""

    name: str
    place: str
    modes: Mapping[str, str]
    readers: Mapping[str, tuple[str, ...]]

    @property
    def key(self) -> str:
        """Unique in the zoo."""
        return f"{self.name}/{self.place}"

    @property
    def path(self) -> Path:
        """The .xml."""
        return ZOO / self.key

    @property
    def matmuls(self) -> dict[str, str]:
        """NNCF's mode for the weights of each MatMul that it compressed; embeddings and convolutions apart."""
        return {name: self.modes[weight] for weight, names in self.readers.items() for name in names}

    @property
    def sources(self) -> dict[str, str]:
        """The weight of each MatMul under the name that it has in the source, which carries the layer's."""
        return {name: weight for weight, names in self.readers.items() for name in names}


def truth(name: str) -> Any:
    """What make_zoo.py recorded of a model."""
    return json.loads((ZOO / name / "zoo.json").read_text(encoding="utf-8"))


@cache
def exports() -> tuple[Export, ...]:
    """All IRs that have MatMuls with compressed weights."""
    found = []
    for name in NAMES:
        for place, entry in truth(name)["models"].items():
            weights = entry["weights"]
            modes = {weight: f"{w['mode']} {w['group_size']}" for weight, w in weights.items()}
            readers = {weight: tuple(w["readers"].get("MatMul", ())) for weight, w in weights.items()}
            if any(readers.values()):
                found.append(Export(name, place, modes, readers))
    return tuple(found)


@cache
def core() -> ov.Core:
    return ov.Core()


def results(path: Path) -> list[Array]:
    """What a variant of an export answers on the CPU plugin, in f32 and without quantization of its own."""
    model = core().read_model(path)
    exact = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
    compiled = core().compile_model(model, "CPU", exact)
    answers = compiled(dict(make_inputs(input_specs(model), TOKENS)))
    return [np.array(answers[port]) for port in compiled.outputs]


def sites(name: str) -> list[str]:
    """Those of all models in a folder, by NNCF's own record."""
    return sorted(site for export in exports() if export.name == name for site in export.matmuls)
