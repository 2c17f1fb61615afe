"""Detect weights that transformers and diffusers fill with random numbers because a checkpoint lacks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from ovpass.errors import ModelError
from ovpass.support.extras import extra_module
from ovpass.support.formatting import counted

_SHOWN = 3
_PURPOSE = "converting Hugging Face models"
_POOLER = "pooler"
_WITHOUT_POOLER = "feature-extraction"
"""Exported are the last hidden states alone, and many encoders are published without a pooler."""


@contextmanager
def checked_loading(task: str, *, pipeline: bool) -> Iterator[list[str]]:
    """Refuse models whose weights do not fit, for as long as the context lasts; gives a list that notes go to.

    Raises:
        ModelError: from within the loading, where tensors are missing or of other shapes.
    """
    notes: list[str] = []
    transformers = extra_module("transformers.modeling_utils", "export", _PURPOSE)
    report = transformers.log_state_dict_report

    def checked_report(model: Any, *arguments: Any, loading_info: Any, **options: Any) -> None:
        name = type(model).__name__
        _check_shapes(name, loading_info.mismatched_keys)
        _check_missing(name, loading_info.missing_keys, task)
        notes.extend(_unused(name, loading_info.unexpected_keys))
        report(model, *arguments, loading_info=loading_info, **options)

    with patch.object(transformers, report.__name__, checked_report):
        if not pipeline:
            yield notes
            return
        mixin = extra_module("diffusers.models.modeling_utils", "export", _PURPOSE).ModelMixin
        with patch.object(mixin, "_load_pretrained_model", classmethod(_checked_load(mixin, notes))):
            yield notes


def _checked_load(mixin: Any, notes: list[str]) -> Callable[..., Any]:
    load = mixin._load_pretrained_model.__func__

    def checked(cls: type, *arguments: Any, **options: Any) -> Any:
        found = load(cls, *arguments, **options)
        _, missing, unexpected, mismatched = found[:4]
        _check_shapes(cls.__name__, mismatched)
        _check_missing(cls.__name__, missing, "")
        notes.extend(_unused(cls.__name__, unexpected))
        return found

    return checked


def _check_shapes(name: str, mismatched: Sequence[Any]) -> None:
    if mismatched:
        tensor, found, wanted = min(mismatched, key=lambda entry: str(entry[0]))
        raise ModelError(
            f"{tensor} of {name} is {list(found)} in the weights, {list(wanted)} in the configuration "
            f"({counted(len(mismatched), 'tensor')} of another shape); configuration and weights are of different "
            "models, download both again"
        )


def _check_missing(name: str, missing: Sequence[str], task: str) -> None:
    absent = [key for key in missing if task != _WITHOUT_POOLER or _POOLER not in key.split(".")]
    if absent:
        raise ModelError(
            f"its weights lack {counted(len(absent), 'tensor')} of {name}, which would be random: {_few(absent)}; "
            "download it again, or name a task that the model was trained for (--task)"
        )


def _unused(name: str, unexpected: Sequence[str]) -> list[str]:
    if not unexpected:
        return []
    return [f"{counted(len(unexpected), 'tensor')} of the folder are not in {name} and dropped: {_few(unexpected)}"]


def _few(names: Sequence[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:_SHOWN]) + (", ..." if len(ordered) > _SHOWN else "")
