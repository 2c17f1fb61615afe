"""The interface of a conversion source: recognition, options, conversion to IR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovpass.conversion.requantization import Requantized
from ovpass.support.progress import Progress

WEIGHT_FORMATS = ("fp16", "fp32")
"""What Options.weight_format can be; the first is the default."""


@dataclass(frozen=True)
class Options:
    """What the user asks of a conversion; None or False is nothing.

    `task` and `weight_format` ("fp16", the default, or "fp32") are for Hugging Face folders, as `trust_remote_code`,
    which runs the Python code of the folder. `exact` dequantizes a GGUF file to f16 instead of carrying its integers
    over. `integer_zero_points` rounds zero points of a GGUF file to integers, which devices quantize activations for.
    `requantize` makes such integers of packed and of GGUF weights that have none: "i8" per channel, "u4" in groups of
    32, or one of them in other groups, as in "i8:64".
    """

    task: str | None = None
    weight_format: str | None = None
    exact: bool = False
    integer_zero_points: bool = False
    requantize: str | None = None
    trust_remote_code: bool = False

    def given(self) -> list[str]:
        """The names of the options that were asked for."""
        return [name for name, value in vars(self).items() if value]


@dataclass(frozen=True)
class Job:
    """One conversion: `model` is the file or folder to convert, `root` what the user named, `folder` the output."""

    root: Path
    model: Path
    folder: Path
    options: Options
    progress: Progress


@dataclass(frozen=True)
class Outcome:
    """What to tell of a conversion: the exporter's task, if there is one, what was re-quantized, and notes."""

    task: str | None = None
    notes: Sequence[str] = ()
    requantized: Requantized | None = None


@dataclass(frozen=True)
class Source:
    """One kind of source.

    `is_file` tells from a path and its first bytes whether a file is of the kind; `in_folder` lists the models of the
    kind that a folder holds. `options` are the names of the Options that it takes. `convert` writes a model folder and
    raises an OvpassError if it cannot.
    """

    title: str
    is_file: Callable[[Path, bytes], bool]
    in_folder: Callable[[Path], Sequence[Path]]
    convert: Callable[[Job], Outcome]
    options: tuple[str, ...] = ()
