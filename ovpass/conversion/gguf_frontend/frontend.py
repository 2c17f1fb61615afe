"""Load OpenVINO's GGUF frontend, which read_model does not look for."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import openvino as ov
from openvino.frontend import FrontEndManager

from ovpass.errors import ModelError
from ovpass.support.formatting import last_line

_NAME = "gguf"


@cache
def library() -> Path | None:
    """The frontend of the installed wheel; None for those older than 2026.4."""
    return next(iter(sorted((Path(ov.__file__).parent / "libs").glob("libopenvino_gguf_frontend*"))), None)


def read_graph(path: Path) -> ov.Model:
    """llama.cpp's graph of a file.

    Raises:
        ModelError: for a file that the frontend does not read.
    """
    try:
        manager: Any = FrontEndManager()
        manager.register_front_end(_NAME, str(library()))
        frontend = manager.load_by_framework(_NAME)
        return frontend.convert(frontend.load(str(path)))
    except RuntimeError as error:
        raise ModelError(f"{path}: OpenVINO's GGUF frontend cannot convert it: {last_line(error)}") from error
