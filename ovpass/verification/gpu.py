"""Compile on the GPU plugin of this process and read the result, also in the child process."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from ovpass.ir.custom_op import new_core
from ovpass.kernels.opencl import CONFIG_FILE
from ovpass.verification.driver import format_version, parse_version
from ovpass.verification.inputs import InputSpec, input_specs, make_inputs
from ovpass.verification.kernel_list import quantizing_primitives
from ovpass.verification.observation import Observation, Order, TokenRun
from ovpass.verification.opencl import driver_version
from ovpass.verification.original_names import Readers, originals
from ovpass.verification.query import require_compilable
from ovpass.verification.runtime_model import custom_primitives, observed_matmuls, readers_of
from ovpass.verification.threshold import find_threshold
from ovpass.verification.tracing import traced_matmuls


def look(order: Order, core: ov.Core | None = None) -> Observation:
    """Carry out one order; what the plugin throws is in the answer."""
    core = core or new_core()
    with _own_folder() as folder:
        config = _config(order, folder)
        try:
            model = core.read_model(order.model)
            if order.queried:
                return _queried(core, model, order, config, folder)
            compiled = core.compile_model(model, order.device, config)
        except RuntimeError as error:
            return Observation(error=str(error), compiled=False)
        bench = _Bench(core, model, order.device, config, compiled)
        try:
            return bench.look(order, folder)
        except RuntimeError as error:
            return Observation(error=str(error))


def _config(order: Order, folder: Path) -> dict[str, Any]:
    """Numbers as text: Python's do not reach properties above 2^63."""
    config = {key: str(value) if type(value) is int else value for key, value in order.config.items()}
    if order.tokens or order.bisect or order.shapes:
        config["PERF_COUNT"] = "YES"
    # The plugin dies of exporting a model with kernels of ours (measured), which the cache does.
    if (len(order.tokens) > 1 or order.bisect) and CONFIG_FILE not in config:
        config["CACHE_DIR"] = str(folder)
    return config


def _queried(core: ov.Core, model: ov.Model, order: Order, config: Mapping[str, Any], folder: Path) -> Observation:
    """What the plugin's transformations make of a model: query_model runs the same ones as compile_model."""
    if order.complete:
        require_compilable(core, model, order.device, config)
    else:
        core.query_model(model, order.device, config)
    return Observation(
        error=None, matmuls=tuple(traced_matmuls(folder, readers_of(model))), **_device_facts(core, order.device)
    )


def _device_facts(core: ov.Core, device: str) -> dict[str, Any]:
    return {
        "device_name": str(core.get_property(device, "FULL_DEVICE_NAME")),
        "xmx": "GPU_HW_MATMUL" in core.get_property(device, "OPTIMIZATION_CAPABILITIES"),
        "architecture": str(core.get_property(device, "GPU_UARCH_VERSION")),
        "driver": format_version(parse_version(driver_version()) or ()),
    }


class _Bench:
    """A compiled model, and more of it from the cache: a profiling status sticks, so each run wants a fresh one."""

    def __init__(
        self, core: ov.Core, model: ov.Model, device: str, config: Mapping[str, Any], compiled: ov.CompiledModel
    ) -> None:
        self._core, self._model, self._device, self._config = core, model, device, config
        self._compiled = compiled
        self._unused = True

    def look(self, order: Order, folder: Path) -> Observation:
        # Runs come first: after get_runtime_model every DynamicQuantize reports that it was skipped.
        runs = [self._run_shapes(order.shapes)] if order.shapes else []
        runs += [self._run(tokens) for tokens in order.tokens]
        threshold = find_threshold(self._run) if order.bisect else None
        readers = readers_of(self._model)
        runtime = self._compiled.get_runtime_model()
        implementations = runs[-1].kernels if runs else {}
        matmuls = (
            traced_matmuls(folder, readers) if order.traced else observed_matmuls(runtime, readers, implementations)
        )
        seen = Observation(
            error=None,
            matmuls=tuple(matmuls),
            kernels=custom_primitives(runtime),
            runs=tuple(runs),
            threshold=threshold,
            group_size_property=int(self._compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE")),
            **_device_facts(self._core, self._device),
        )
        in_kernel = {} if seen.xmx or CONFIG_FILE in self._config else self._in_kernel(readers)
        return replace(seen, in_kernel=in_kernel)

    def _in_kernel(self, readers: Readers) -> dict[str, bool]:
        exported = io.BytesIO()
        self._compiled.export_model(exported)
        found = quantizing_primitives(exported.getvalue())
        return {name: quantizes for text, quantizes in found.items() for name in originals(text, readers)}

    def _run(self, tokens: int) -> TokenRun:
        compiled = self._fresh()
        return _token_run(tokens, compiled, make_inputs(self._specs, tokens))

    @cached_property
    def _specs(self) -> Sequence[InputSpec]:
        return input_specs(self._model)

    def _run_shapes(self, shapes: Mapping[str, Any]) -> TokenRun:
        compiled = self._fresh()
        kinds = {name: compiled.input(name).get_element_type().to_dtype() for name in shapes}
        return _token_run(None, compiled, {name: np.zeros(shapes[name], kinds[name]) for name in shapes})

    def _fresh(self) -> ov.CompiledModel:
        if self._unused:
            self._unused = False
            return self._compiled
        return self._core.compile_model(self._model, self._device, self._config)


def _token_run(tokens: int | None, compiled: ov.CompiledModel, inputs: Mapping[str, Any]) -> TokenRun:
    """Run once, and read whether each DynamicQuantize ran and what each FullyConnected ran on."""
    request = compiled.create_infer_request()
    request.infer(dict(inputs))
    profile = request.profiling_info
    return TokenRun(
        tokens,
        {info.node_name: _was_executed(info) for info in profile if info.node_type == "DynamicQuantize"},
        {info.node_name: info.exec_type for info in profile if info.node_type.startswith("FullyConnected")},
    )


def _was_executed(info: ov.ProfilingInfo) -> bool:
    return str(info.status).endswith("EXECUTED")


@contextmanager
def _own_folder() -> Iterator[Path]:
    """The plugin and its tracing leave files in the working directory: give them one to leave them in."""
    home = Path.cwd()
    # Below the parent's own: threads of the plugin can still be writing to it when this process is done.
    with tempfile.TemporaryDirectory(prefix="order-", dir=home, ignore_cleanup_errors=True) as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(home)
