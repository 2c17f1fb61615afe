"""The benchmarked models, each with its compile properties."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ovpass.errors import ModelError, SettingsError
from ovpass.evaluation.pipeline_folder import MODEL, require_tokenizers
from ovpass.ir.files import IrFile, open_source
from ovpass.ir.model_config import context_length, read_config
from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.planning.plan import QUANTIZE, Plan
from ovpass.planning.recorded_plan import recorded_plan
from ovpass.settings.model_argument import split_model
from ovpass.targets.group_sizes import parse_model_group_size
from ovpass.targets.names import get_target

_SHOWN = 3
_PROPERTY = re.compile(r"[A-Z][A-Z0-9_]*")


@dataclass(frozen=True)
class Subject:
    """A model and what it is run with.

    `title` is what the user wrote, `path` the .xml, or the folder where `generates` says that OpenVINO GenAI runs it.
    `context` is how many tokens the model takes, None where nothing tells. `thresholds` are numbers of tokens up to
    which it is not quantized, by what ovpass noted in it.
    """

    title: str
    path: Path
    generates: bool
    properties: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    context: int | None = None
    thresholds: tuple[int, ...] = ()


def parse_subject(text: str, device: str, common: Mapping[str, str] | None = None) -> Subject:
    """Read `MODEL`, `MODEL@NAME=VALUE,NAME=VALUE` or `MODEL@64` for the plugin's own quantization in that group size.

    Properties given here win over `common` ones, and those over what ovpass noted in the model. The environment
    variables that it noted are set as they are.

    Raises:
        ModelError: for a model that is not there, or that cannot be run as it lies there.
        SettingsError: for anything after the @ that is no compile property.
    """
    model, rest = split_model(text)
    given = {} if rest is None else _properties(text, rest)
    xml, generates = _find(model)
    document = xml.document()
    stateful = "ReadValue" in document.graph.types
    path = xml.xml
    if generates and stateful:
        path = model
        require_tokenizers(path, f"name {path / MODEL} to benchmark the model alone")
    plan = recorded_plan(document.metadata)
    on_cpu = device == "CPU"
    noted = plan.run_properties if plan and (get_target(plan.settings.target).device == "CPU") == on_cpu else {}
    return Subject(
        title=text,
        path=path.resolve(),
        generates=generates and stateful,
        properties={**noted, **(common or {}), **given},
        environment=plan.run_environment if plan else {},
        context=context_length(read_config(xml.xml.parent)),
        thresholds=_thresholds(plan, on_cpu=on_cpu) if plan else (),
    )


def _properties(text: str, rest: str) -> dict[str, str]:
    return dict(_property(text, part) for part in rest.split(","))


def _property(text: str, part: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    if name == "group_size" or not equals:
        try:
            return GROUP_SIZE, str(parse_model_group_size(value or name))
        except SettingsError as error:
            raise SettingsError(f"{text}: {error}") from error
    if not value or not _PROPERTY.fullmatch(name):
        raise SettingsError(
            f"{text}: {part!r} is neither a group size nor a compile property; write MODEL@64, or MODEL@NAME=VALUE, "
            "for example model@INFERENCE_PRECISION_HINT=f32; for other settings, benchmark what 'ovpass apply' wrote"
        )
    return name, value


def _find(path: Path) -> tuple[IrFile, bool]:
    """The IR to run, and whether it lies as OpenVINO GenAI wants a language model."""
    source = open_source(path)
    if not source.is_folder:
        return source.models[0], False
    llm = next((ir for ir in source.models if ir.key == MODEL), None)
    if llm is not None:
        return llm, True
    if len(source.models) > 1:
        shown = ", ".join(str(ir.xml) for ir in source.models[:_SHOWN])
        raise ModelError(f"{path}: holds {len(source.models)} models; name one by its .xml, for example {shown}")
    return source.models[0], False


def _thresholds(plan: Plan, *, on_cpu: bool) -> tuple[int, ...]:
    """Those in the graph hold on any device, that of the plugin on GPUs."""
    in_graph = {d.threshold for d in plan.chosen(QUANTIZE) if d.threshold is not None}
    own = plan.settings.threshold
    plugin = {own} if own is not None and plan.settings.lowering == "native" and not on_cpu else set()
    return tuple(sorted(in_graph | plugin))
