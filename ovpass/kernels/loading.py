"""Load models with kernels of ours, in OpenVINO and in OpenVINO GenAI."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openvino as ov

from ovpass.errors import ModelError
from ovpass.ir.custom_op import OP_TYPE, new_core
from ovpass.ir.files import IrFile, ModelSource, open_source
from ovpass.kernels.build import library, library_cache
from ovpass.kernels.opencl import CONFIG_FILE, kernel_source, write_gpu_kernels
from ovpass.support.extras import extra_module
from ovpass.support.formatting import last_line


def core_for(device: str) -> ov.Core:
    """A Core that reads the op: on the CPU with the library that computes it.

    Raises:
        KernelError: if the library cannot be built or must not be loaded.
    """
    if device != "CPU":
        return new_core()
    core = ov.Core()
    core.add_extension(str(library()))
    return core


def read_runnable(ir: IrFile, device: str) -> ov.Model:
    """A model whose ops of ours can be run on a device.

    Raises:
        ModelError: if OpenVINO refuses it.
        KernelError: if the library cannot be built or must not be loaded.
    """
    return core_for(device).read_model(ir.xml, ir.bin) if has_kernels(ir.xml) else ir.read()


def core_and_settings(xml: Path, device: str) -> tuple[ov.Core, dict[str, str]]:
    """What compiles an IR for a device with the kernels that it needs: a Core, and settings.

    Raises:
        KernelError: if the library cannot be built or must not be loaded.
    """
    return (core_for(device), gpu_settings(device)) if has_kernels(xml) else (ov.Core(), {})


def load(model: Path | str, device: str = "CPU", properties: Mapping[str, Any] | None = None) -> ov.CompiledModel:
    """Compile a model for a device, with the kernels that it needs; a model without such ops is compiled as it is.

    `model` is an .xml, or a folder that holds one model.

    Raises:
        ModelError: for an invalid model, and with what OpenVINO says where it refuses it.
        KernelError: if the library cannot be built or must not be loaded.
    """
    source = open_source(model)
    if len(source.models) != 1:
        raise ModelError(f"{model}: holds {len(source.models)} models; name one .xml")
    [ir] = source.models
    try:
        core, kernels = core_and_settings(ir.xml, device)
        return core.compile_model(core.read_model(ir.xml), device, {**kernels, **(properties or {})})
    except RuntimeError as error:
        raise ModelError(f"{ir.xml}: does not compile on {device}: {last_line(error)}") from error


def load_pipeline(folder: Path | str, device: str = "CPU") -> Any:
    """OpenVINO GenAI's LLMPipeline of a model folder, with the kernels that it needs.

    Raises:
        ExtraError: without OpenVINO GenAI.
        ModelError: for an invalid folder, and with what OpenVINO GenAI says where it refuses it.
        KernelError: if the library cannot be built or must not be loaded.
    """
    source = open_source(folder)
    genai = extra_module("openvino_genai", "genai", "generating text")
    if not source.is_folder:
        raise ModelError(f"{folder}: is no model folder; OpenVINO GenAI needs the tokenizer beside the model")
    try:
        return genai.LLMPipeline(str(folder), device, **pipeline_options(source, device))
    except RuntimeError as error:
        raise ModelError(f"{folder}: OpenVINO GenAI cannot load it: {last_line(error)}") from error


def pipeline_options(source: ModelSource, device: str) -> dict[str, Any]:
    """What OpenVINO GenAI needs to run the models of a folder; nothing where there are no kernels.

    Raises:
        KernelError: if the library cannot be built or must not be loaded.
    """
    if not any(has_kernels(ir.xml) for ir in source.models):
        return {}
    return {"extensions": [str(library())], **gpu_settings(device)}


def has_kernels(xml: Path) -> bool:
    """Whether an IR has ops of ours."""
    return f'type="{OP_TYPE}"' in xml.read_text(encoding="utf-8", errors="replace")


def gpu_settings(device: str) -> dict[str, str]:
    """The kernels for a GPU, kept in the user's cache."""
    if not device.startswith("GPU"):
        return {}
    digest = hashlib.sha256(kernel_source().encode()).hexdigest()[:16]
    return {CONFIG_FILE: str(write_gpu_kernels(library_cache() / f"opencl-{digest}"))}
