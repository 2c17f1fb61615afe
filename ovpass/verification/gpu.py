"""Compile on the GPU plugin of this process and look at the result; the simulated device's child calls this too."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openvino as ov

from ovpass.verification.inputs import input_specs, make_inputs
from ovpass.verification.observation import Order, Seen, TokenRun
from ovpass.verification.runtime_model import readers_of, seen_matmuls
from ovpass.verification.threshold import find_threshold
from ovpass.verification.tracing import traced_matmuls


def look(order: Order, core: ov.Core | None = None) -> Seen:
    """Carry out one order; what the plugin throws is in the answer."""
    core = core or ov.Core()
    with _own_folder() as folder:
        try:
            return _look(order, core, folder)
        except RuntimeError as error:
            return Seen(error=str(error))


def _look(order: Order, core: ov.Core, folder: Path) -> Seen:
    model = core.read_model(order.model)
    config = dict(order.config)
    if order.tokens or order.bisect:
        # Each run wants a freshly compiled model, for a profiling status sticks; from the cache that is quick.
        config |= {"CACHE_DIR": str(folder), "PERF_COUNT": "YES"}
    started = time.perf_counter()
    compiled = core.compile_model(model, "GPU", config)
    seconds = time.perf_counter() - started

    def run(tokens: int) -> TokenRun:
        return _run(core.compile_model(model, "GPU", config), tokens)

    # Before anything else: after get_runtime_model every DynamicQuantize reports that it was skipped.
    runs = tuple(run(tokens) for tokens in order.tokens)
    threshold = find_threshold(run) if order.bisect else None
    matmuls = traced_matmuls(folder) if order.traced else seen_matmuls(compiled.get_runtime_model(), readers_of(model))
    asked = int(compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE"))
    return Seen(None, tuple(matmuls), runs, threshold, asked, seconds)


def _run(compiled: ov.CompiledModel, tokens: int) -> TokenRun:
    request = compiled.create_infer_request()
    request.infer(make_inputs(input_specs(compiled), tokens))
    executed = {
        info.node_name: str(info.status).endswith("EXECUTED")
        for info in request.profiling_info
        if info.node_type == "DynamicQuantize"
    }
    return TokenRun(tokens, executed)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """The plugin and its tracing leave files in the working directory: give them one to leave them in."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="ovpass-gpu-") as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(home)
