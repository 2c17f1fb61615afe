"""The keywords of the verbs: the fields of the option classes, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from ovpass.settings.overrides import override
from ovpass.settings.settings import Rule, Settings, load_settings
from ovpass.support.choices import check_keywords

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from ovpass.evaluation.options import HarnessOptions, PromptOptions

    _Options = TypeVar("_Options", bound=DataclassInstance)

_FILES = ("text", "tokenizer", "codebook", "state")


class SettingsKeywords(TypedDict, total=False):
    """The fields of Settings, and `exempt`: one or more patterns of sites that are not quantized."""

    group_size: int | str | None
    threshold: int | None
    axis: int
    symmetric: bool
    lowering: str
    target: str
    exempt_with: str
    requantize: bool
    only_if_faster: bool
    at_tokens: int
    rules: Sequence[Rule]
    runtime_options: Mapping[str, str | int]
    exempt: str | Sequence[str]


class QuestionKeywords(TypedDict, total=False):
    """The fields of Question."""

    device: str
    simulate: str | None
    properties: Mapping[str, str] | None
    tokens: Sequence[int]
    find_threshold: bool
    kernels: bool
    timeout: float
    target: str | None


class WindowKeywords(TypedDict, total=False):
    """The fields of Evaluation that searches have, too."""

    windows: int | None
    window_tokens: int | None
    stride: int | None
    skip: int
    text: Path | str | None
    tokenizer: Path | str | None
    profile: str


class EvaluationKeywords(WindowKeywords, total=False):
    """The fields of Evaluation."""

    inputs: Sequence[Path | str]
    device: str
    harness: HarnessOptions | None
    prompts: PromptOptions | None
    chunk_tokens: int | None
    blockwise: bool
    workers: int | None
    state: Path | str | None


class PlaceKeywords(TypedDict, total=False):
    """Where a search runs, and where it keeps its measurements."""

    state: Path | str | None
    workers: int | None
    cluster: str | None
    mixed_hosts: bool
    blockwise: bool


class HowKeywords(TypedDict, total=False):
    """How a search for a plan goes."""

    exact: bool
    minutes: float | None
    kv: str | None


class SearchKeywords(SettingsKeywords, WindowKeywords, PlaceKeywords, HowKeywords, total=False):
    """What to quantize, the text to measure on, and where to measure."""


class ConversionKeywords(TypedDict, total=False):
    """The fields of the Options of a conversion."""

    task: str | None
    weight_format: str | None
    exact: bool
    integer_zero_points: bool
    requantize: str | None
    trust_remote_code: bool


class RecipeKeywords(TypedDict, total=False):
    """The fields of Recipe and Calibration."""

    mode: str
    group_size: int | None
    group_size_fallback: str
    ratio: float | None
    all_layers: bool
    backup_mode: str | None
    awq: bool
    scale_estimation: bool
    gptq: bool
    lora_correction: bool
    codebook: Path | str | None
    smooth: float | None
    vector_length: int | None
    entries: tuple[int, ...]
    codebooks: int | None
    bits: float | None
    max_kl: float | None
    ignore: tuple[str, ...]
    text: Path | str | None
    tokenizer: Path | str | None
    samples: int
    tokens: int


def names_of(options: type[DataclassInstance]) -> list[str]:
    """The fields of a class of options."""
    return [field.name for field in fields(options)]


def with_keywords(options: _Options, keywords: Mapping[str, Any]) -> _Options:
    """Options with those fields changed that keywords name. A file or folder can be text.

    Raises:
        SettingsError: for a keyword that is none, and as the class does.
    """
    check_keywords(keywords, names_of(type(options)))
    return replace(options, **{name: _value(name, value) for name, value in keywords.items()})


def settings_of(settings: Settings | Path | str | None, keywords: Mapping[str, Any]) -> Settings:
    """Settings, or those of a file, with those fields changed that keywords name.

    Raises:
        SettingsError: for a keyword that is none, and for a file or value that is not possible.
    """
    check_keywords(keywords, [*names_of(Settings), "exempt"])
    base = load_settings(settings) if isinstance(settings, (str, Path)) else settings or Settings()
    exempt = keywords.get("exempt", ())
    changes = {name: value for name, value in keywords.items() if name != "exempt"}
    return override(base, changes, (exempt,) if isinstance(exempt, str) else exempt)


def split(keywords: Mapping[str, Any], names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keywords of these names, and all others."""
    chosen = {name: value for name, value in keywords.items() if name in names}
    return chosen, {name: value for name, value in keywords.items() if name not in names}


def _value(name: str, value: Any) -> Any:
    if name == "inputs":
        return tuple(map(Path, value))
    return Path(value) if name in _FILES and value is not None else value
