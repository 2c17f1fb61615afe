"""What tables of cases have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import openvino as ov

from ovpass.sites import CompressedMatMul
from tests.targets.cases import Build

Groups = dict[int, int | None]
"""Group size asked for -> the one in force for a MatMul, None for none."""

FOLDER = Path(__file__).resolve().parents[2] / "models" / "formats"
FILES: dict[str, Build] = {path.stem: partial(ov.Core().read_model, path) for path in sorted(FOLDER.glob("*.xml"))}
"""Models that real tools made."""


@dataclass(frozen=True)
class Compared:
    """What a target says of a case's MatMuls, by name, what the plugin did, and the sites among them."""

    said: Mapping[str, Groups]
    did: Mapping[str, Groups]
    sites: Sequence[CompressedMatMul]
