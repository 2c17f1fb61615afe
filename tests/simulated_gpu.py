"""Compile models with the real GPU plugin for an Arc A770 that is not there, in a child process.

Intel's compute runtime can record command buffers instead of submitting them. Compilation, the runtime model and
profiling statuses are then real; the values that infer returns are not. This file is also the child's program.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import openvino as ov

SIMULATION = {
    "NEOReadDebugKeys": "1",  # let the release driver read the keys below
    "SetCommandStreamReceiver": "1",  # record instead of submitting to hardware
    "ProductFamilyOverride": "dg2",  # Arc Alchemist
    "ForceDeviceId": "56a0",  # A770
    "HardwareInfoOverride": "8x4x16",  # slices, sub-slices, EUs; without it the plugin divides by zero
    "AUBDumpCaptureFileName": "/dev/null",  # or every compile leaves a large file
}
PACKAGES = "intel-opencl-icd ocl-icd-libopencl1"
PER_TOKEN = 2**64 - 1
TRACED_PASS = "DynamicQuantizeFullyConnected"
SECONDS_PER_JOB = 30


class NoSimulatedGpuError(RuntimeError):
    """The child saw no GPU device: the OpenCL driver is not installed."""


@dataclass(frozen=True)
class Job:
    """One compilation: a model or the path of its XML, and what to look at.

    `shapes` asks for an infer with inputs of these shapes, and so for `Compiled.statuses`. `traced` asks for the
    nodes of the graph as it is right after the quantization pass, bodies of If and Loop included.
    """

    model: ov.Model | Path
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, Sequence[int]] | None = None
    traced: bool = False


@dataclass(frozen=True)
class Node:
    """A FullyConnected or Gemm of the compiled model; `group_size` is None without a DynamicQuantize before it.

    `names` are the MatMuls of the original model that it computes: several where the plugin fused them.
    """

    kind: str
    names: tuple[str, ...]
    activation_type: str
    group_size: int | None
    quantizer: str | None


@dataclass(frozen=True)
class Compiled:
    """What the plugin made of a Job; `error` is set where compilation or infer threw.

    `statuses` holds how each DynamicQuantize ended in the infer: EXECUTED or OPTIMIZED_OUT. `group_size_property`
    is what the compiled model says it was asked for.
    """

    error: str | None
    nodes: tuple[Node, ...] = ()
    statuses: tuple[str, ...] = ()
    group_size_property: int | None = None

    @property
    def groups(self) -> dict[str, int | None]:
        """The activation group size of each MatMul, None where its activation is not quantized."""
        if self.error is not None:
            raise RuntimeError(self.error)
        return {name: node.group_size for node in self.nodes for name in node.names}

    @property
    def quantizers(self) -> int:
        """How many DynamicQuantize nodes there are."""
        return len({node.quantizer for node in self.nodes if node.quantizer is not None})


def compile_on_simulated_gpu(jobs: Sequence[Job], timeout: float | None = None) -> list[Compiled]:
    """Compile all jobs, those with one environment in one child.

    Raises:
        NoSimulatedGpuError: where there is no driver.
        RuntimeError: where the child dies or takes longer than `timeout` seconds.
    """
    environments: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for index, job in enumerate(jobs):
        environments.setdefault(tuple(sorted(_environment(job).items())), []).append(index)
    done: dict[int, Compiled] = {}
    for environment, indices in environments.items():
        chosen = [jobs[index] for index in indices]
        answers = _in_child(chosen, dict(environment), timeout or SECONDS_PER_JOB * (len(chosen) + 1))
        done.update(zip(indices, answers, strict=True))
    return [done[index] for index in range(len(jobs))]


def require_simulated_gpu() -> None:
    """Raise NoSimulatedGpuError where there is no driver."""
    _in_child([], {}, 60)


def quantized_groups(
    model: ov.Model | Path, group_size: int | None = None, config: Mapping[str, Any] | None = None
) -> dict[str, int | None]:
    """The activation group size that each MatMul of the model really gets, None for none."""
    asked = {} if group_size is None else {"DYNAMIC_QUANTIZATION_GROUP_SIZE": group_size}
    (compiled,) = compile_on_simulated_gpu([Job(model, {**(config or {}), **asked})])
    return compiled.groups


def _environment(job: Job) -> dict[str, str]:
    tracing = {"OV_ENABLE_SERIALIZE_TRACING": TRACED_PASS} if job.traced else {}
    return {**job.environment, **tracing}


def _in_child(jobs: Sequence[Job], environment: Mapping[str, str], timeout: float) -> list[Compiled]:
    with tempfile.TemporaryDirectory(prefix="simulated-gpu-") as name:
        folder = Path(name)
        saved: dict[int, Path] = {}
        orders = [_order(job, folder, saved) for job in jobs]
        (folder / "jobs.json").write_text(json.dumps(orders), encoding="utf-8")
        _run_child(folder, {**os.environ, **SIMULATION, **environment}, timeout)
        answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    if answers is None:
        raise NoSimulatedGpuError(f"OpenVINO sees no GPU device: apt-get install {PACKAGES}")
    return [_compiled(answer) for answer in answers]


def _order(job: Job, folder: Path, saved: dict[int, Path]) -> dict[str, Any]:
    """The job as the child reads it; a model that several jobs share is written once."""
    if isinstance(job.model, Path):
        path = job.model.resolve()
    elif (known := saved.get(id(job.model))) is not None:
        path = known
    else:
        path = saved[id(job.model)] = folder / f"model_{len(saved)}.xml"
        ov.save_model(job.model, path, compress_to_fp16=False)
    return {"model": str(path), "config": _texts(job.config), "shapes": job.shapes, "traced": job.traced}


def _texts(config: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as text: Python's do not reach properties above 2^63."""
    return {key: str(value) if type(value) is int else value for key, value in config.items()}


def _run_child(folder: Path, environment: Mapping[str, str], timeout: float) -> None:
    command = [sys.executable, str(Path(__file__).resolve())]
    log = folder / "log.txt"
    with log.open("wb") as stream:
        try:
            code = subprocess.run(
                command, cwd=folder, env=environment, timeout=timeout, stdout=stream, stderr=stream, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the simulated GPU took longer than {timeout:.0f} s") from None
    if code:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"the simulated GPU's process ended with {code}:\n{tail}")


def _compiled(answer: Mapping[str, Any]) -> Compiled:
    nodes = tuple(Node(**{**node, "names": tuple(node["names"])}) for node in answer.get("nodes", ()))
    statuses = tuple(answer.get("statuses", ()))
    return Compiled(answer["error"], nodes, statuses, answer.get("group_size_property"))


# in the child ------------------------------------------------------------------------------------------------


def _child() -> None:
    core = ov.Core()
    orders = json.loads(Path("jobs.json").read_text(encoding="utf-8"))
    usable = any(device.split(".")[0] == "GPU" for device in core.available_devices)
    answers = [_answer(core, order, index) for index, order in enumerate(orders)] if usable else None
    Path("answers.json").write_text(json.dumps(answers), encoding="utf-8")


def _answer(core: ov.Core, order: Mapping[str, Any], index: int) -> dict[str, Any]:
    home, own = Path.cwd(), Path(f"job_{index}")
    own.mkdir()
    os.chdir(own)  # the plugin and its tracing leave files in the working directory
    try:
        return {"error": None, **_looked_at(core, order)}
    except RuntimeError as error:
        return {"error": str(error)}
    finally:
        os.chdir(home)


def _looked_at(core: ov.Core, order: Mapping[str, Any]) -> dict[str, Any]:
    model = core.read_model(order["model"])
    profiling = {"PERF_COUNT": True} if order["shapes"] else {}
    compiled = core.compile_model(model, "GPU", {**order["config"], **profiling})
    # infer comes first: after get_runtime_model every DynamicQuantize reports OPTIMIZED_OUT
    statuses = _infer(compiled, order["shapes"]) if order["shapes"] else []
    if order["traced"]:
        nodes = _traced_nodes(Path.cwd())
    else:
        nodes = _runtime_nodes(compiled.get_runtime_model(), _siblings(model))
    asked = int(compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE"))
    return {"nodes": [asdict(node) for node in nodes], "statuses": statuses, "group_size_property": asked}


def _infer(compiled: ov.CompiledModel, shapes: Mapping[str, Sequence[int]]) -> list[str]:
    request = compiled.create_infer_request()
    values = {
        name: np.zeros(shape, compiled.input(name).get_element_type().to_dtype()) for name, shape in shapes.items()
    }
    request.infer(values)
    return [
        str(info.status).rsplit(".", maxsplit=1)[-1]
        for info in request.profiling_info
        if info.node_type == "DynamicQuantize"
    ]


def _siblings(model: ov.Model) -> dict[str, list[str]]:
    """For each MatMul name, the MatMuls of constant weights that read the same activation, itself included."""
    readers: dict[tuple[str, str, int], list[str]] = {}
    for op in model.get_ordered_ops():
        if op.get_type_name() == "MatMul":
            source, through = op.input_value(0), ""
            if source.get_node().get_type_name() == "Unsqueeze":  # the plugin merges equal ones
                source, through = source.get_node().input_value(0), "Unsqueeze"
            key = (through, source.get_node().get_name(), source.get_index())
            readers.setdefault(key, []).append(op.get_friendly_name())
    return {name: names for names in readers.values() for name in names}


def _runtime_nodes(runtime: ov.Model, siblings: Mapping[str, list[str]]) -> list[Node]:
    found = []
    for op in runtime.get_ordered_ops():
        info = _info(op)
        if info["layerType"] not in ("FullyConnected", "Gemm"):
            continue
        source = op.input_value(0).get_node()
        before = _info(source)
        quantizer = source.get_friendly_name() if before["layerType"] == "DynamicQuantize" else None
        names = [name for text in info["originalLayersNames"].split(",") for name in _originals(text, siblings)]
        activation = op.input_value(0).get_element_type().to_string()
        group = _last_group(before["group_sizes"]) if quantizer else None
        found.append(Node(info["layerType"], tuple(names), activation, group, quantizer))
    return found


def _info(op: ov.Node) -> dict[str, str]:
    """The node's runtime info as text."""
    return {key: str(getattr(value, "value", value)) for key, value in op.get_rt_info().items()}


def _originals(name: str, siblings: Mapping[str, list[str]]) -> Iterable[str]:
    """MatMuls behind a name of the runtime model: `linear`, `linear.0`, `linear_with_bias_fused_3FCs`."""
    fused = re.fullmatch(r"(.*?)(?:_with_bias)?_fused_(\d+)FCs", name)
    if fused:
        together = siblings.get(fused[1], [])
        if len(together) != int(fused[2]):
            raise RuntimeError(f"cannot tell which MatMuls {name!r} is made of, among {together}")
        return together
    plain = name if name in siblings else re.sub(r"\.\d+$", "", name)
    return [plain] if plain in siblings else []


def _last_group(group_sizes: str) -> int:
    last = int(group_sizes.rsplit(",", maxsplit=1)[-1])
    return PER_TOKEN if last == -1 else last


def _traced_nodes(folder: Path) -> list[Node]:
    """Nodes of the last graph that the pass tracer wrote for each (sub)graph."""
    found: dict[str, Node] = {}
    for path in sorted(folder.glob(f"*{TRACED_PASS}.xml")):
        for graph in ElementTree.parse(path).iter():
            if graph.find("layers") is not None:
                found.update((node.names[0], node) for node in _traced_graph(graph))
    return list(found.values())


def _traced_graph(graph: ElementTree.Element) -> Iterable[Node]:
    layers = {layer.get("id", ""): layer for layer in graph.iterfind("layers/layer")}
    source = {
        (edge.get("to-layer", ""), edge.get("to-port", "")): edge.get("from-layer", "")
        for edge in graph.iterfind("edges/edge")
    }
    for key, layer in layers.items():
        if layer.get("type", "").startswith("FullyConnected"):
            before = layers[source[key, "0"]]
            group = _traced_group(before)
            name = re.sub(r"\.\d+$", "", layer.get("name", ""))
            activation = next(port.get("precision", "").lower() for port in before.iterfind("output/port"))
            quantizer = before.get("name") if group is not None else None
            yield Node("FullyConnected", (name,), activation, group, quantizer)


def _traced_group(layer: ElementTree.Element) -> int | None:
    data = layer.find("data")
    if layer.get("type") != "DynamicQuantize" or data is None:
        return None
    return _last_group(data.get("group_sizes", ""))


if __name__ == "__main__":
    _child()
