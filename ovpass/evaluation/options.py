"""Evaluation options and their defaults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ovpass.errors import SettingsError


@dataclass(frozen=True)
class WindowOptions:
    """How many windows of how many tokens. `stride` tokens lie between their starts, None: they do not overlap.

    `skip` windows at the beginning of the text are left out, so that two sets of windows share no text.
    """

    count: int = 8
    tokens: int = 512
    stride: int | None = None
    skip: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or self.tokens < 2 or self.skip < 0:
            raise SettingsError(
                f"{self.count} windows of {self.tokens} tokens: use one or more, of at least 2 tokens each"
            )
        if self.stride is not None and not 1 <= self.stride <= self.tokens:
            raise SettingsError(f"stride {self.stride}: use 1 to {self.tokens}, the length of a window")

    @property
    def step(self) -> int:
        """Tokens between the starts of two windows."""
        return self.tokens if self.stride is None else self.stride


LANGUAGE_MODEL = WindowOptions()
ENCODER = WindowOptions(tokens=128)
SEARCH = WindowOptions(count=2, tokens=256)
"""Windows of commands that evaluate hundreds of settings."""


@dataclass(frozen=True)
class HarnessOptions:
    """Tasks of lm-evaluation-harness, by name. `folder` holds YAML tasks of the user's own.

    `limit` is the number of items of a task, None for all. `batch` texts are generated at a time.
    """

    tasks: Sequence[str]
    folder: Path | None = None
    limit: int | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        if not self.tasks or not all(self.tasks):
            raise SettingsError("harness: name one or more tasks, separated by commas")
        if self.folder is not None and not self.folder.is_dir():
            raise SettingsError(f"{self.folder}: is not a folder with tasks")
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"limit {self.limit}: use one or more items per task")
        if self.batch < 1:
            raise SettingsError(f"batch {self.batch}: generate one or more texts at a time")


@dataclass(frozen=True)
class PromptOptions:
    """A file of prompts, whose answers of at most `new_tokens` tokens are compared, `batch` at a time.

    `encoder` is the folder of an encoder for sentences, None to compare tokens only.
    """

    file: Path
    new_tokens: int = 128
    encoder: Path | None = None
    batch: int = 1

    def __post_init__(self) -> None:
        if self.new_tokens < 1:
            raise SettingsError(f"new-tokens {self.new_tokens}: generate one or more")
        if self.batch < 1:
            raise SettingsError(f"batch {self.batch}: generate one or more texts at a time")


@dataclass(frozen=True)
class Evaluation:
    """Evaluation options. None is the default of the model and the command.

    `windows` windows of `window_tokens` tokens start every `stride` tokens, after `skip` windows. `text` None is the
    shipped text. `tokenizer` is a folder; None is the reference's folder. `inputs` are .npz files for models that take
    no token ids. `profile` is the device to emulate for candidates that name none. `harness` adds tasks, `prompts` adds
    answers. `chunk_tokens` feeds windows in chunks; None uses chunks of 32 for candidates with a compressed KV cache.
    `blockwise` has one block of a model in memory at a time. `workers` processes make predictions on text, None: this
    one does. The workers of a `cluster` do, the address of a scheduler of Dask or "local"; `mixed_hosts` allows those
    with other CPUs or versions of OpenVINO. `state` is the folder that keeps what an interrupted evaluation of text has
    compared, None for the default folder; searches have one of their own.
    """

    windows: int | None = None
    window_tokens: int | None = None
    stride: int | None = None
    skip: int = 0
    text: Path | None = None
    tokenizer: Path | None = None
    inputs: Sequence[Path] = field(default=())
    profile: str = "gpu-xmx"
    device: str = "CPU"
    harness: HarnessOptions | None = None
    prompts: PromptOptions | None = None
    chunk_tokens: int | None = None
    blockwise: bool = False
    workers: int | None = None
    cluster: str | None = None
    mixed_hosts: bool = False
    state: Path | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"CPU|GPU(\.\d+)?", self.device):
            raise SettingsError(f"device {self.device!r} is unknown; use CPU, GPU, or GPU.1 for one of several")
        if self.workers is not None and self.workers < 1:
            raise SettingsError(f"workers {self.workers}: use 1 or more")
        if self.chunk_tokens is not None and self.chunk_tokens < 1:
            raise SettingsError(f"chunk-tokens {self.chunk_tokens}: use one or more")

    def window_options(self, default: WindowOptions) -> WindowOptions:
        """The window options, with `default` for those that are None."""
        count = default.count if self.windows is None else self.windows
        tokens = default.tokens if self.window_tokens is None else self.window_tokens
        return WindowOptions(count, tokens, self.stride, self.skip)
