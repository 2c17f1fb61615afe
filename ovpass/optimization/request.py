"""What is to be made, and within which budget."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from pathlib import Path

from ovpass.compression.modes import MODES
from ovpass.errors import OutputError, SettingsError
from ovpass.support.choices import check_choice
from ovpass.support.sizes import parse_size
from ovpass.targets.names import find_name
from ovpass.tuning.presets import DEFAULT, limits_of

DEFAULT_WEIGHTS = "int8_sym"
FOLDER, OVMS = "folder", "ovms"
"""Layouts of the output: a model folder, or a repository of OpenVINO Model Server."""
LAYOUTS = (FOLDER, OVMS)


@dataclass(frozen=True)
class Request:
    """What `ovpass optimize` makes of `source` in the folder `output`.

    `target` is a target or a device. `max_kl` (nats per token) and `max_ppl_increase` (percent), or one of `PRESETS`,
    bound the cost of quantizing activations; `max_task_drop` is what the score on ovpass's tasks may lose, in points of
    100, to all that is done. `kv` are the types of KV caches to choose from, as for tune, or "auto"; None keeps the
    target's own. `weights` is the compression mode for floating-point weights; `memory` chooses it instead,
    by what the model may take when it runs, such as "8GB". `text`, `windows` and `window_tokens` are those of tune,
    None for its defaults. `work` is the folder of the stages. `layout` is one of `LAYOUTS`.

    Raises:
        SettingsError: for a target, mode, layout or number that is not possible.
        OutputError: for an output that is a file.
    """

    source: Path
    output: Path
    target: str = "gpu-xmx"
    max_kl: float | None = None
    max_ppl_increase: float | None = None
    preset: str | None = None
    kv: str | None = None
    max_task_drop: float | None = None
    weights: str | None = None
    memory: str | None = None
    text: Path | None = None
    windows: int = 2
    window_tokens: int = 256
    work: Path | None = None
    layout: str = FOLDER
    overwrite: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "target", find_name(self.target).name)
        if self.weights is not None:
            check_choice("weights", self.weights, tuple(MODES))
            if self.memory is not None:
                raise SettingsError("--memory chooses how weights are compressed; leave out --weights")
        if self.memory is not None:
            parse_size(self.memory, "--memory")
        check_choice("layout", self.layout, LAYOUTS)
        from ovpass.tuning.budget import Budget  # noqa: PLC0415 - not needed to print help

        Budget(*self._limits)
        if self.max_task_drop is not None and not 0 <= self.max_task_drop < inf:
            raise SettingsError(f"--max-task-drop {self.max_task_drop:g}: use points of 100, 0 or more")
        if self.windows < 1 or self.window_tokens < 2:
            raise SettingsError("use one window or more, of two tokens or more")
        threshold = find_name(self.target).target.default_threshold
        if self.window_tokens <= threshold:
            raise SettingsError(
                f"--window-tokens {self.window_tokens}: {self.target} quantizes above {threshold} tokens"
            )
        if self.kv is not None:
            self._check_kv(self.kv)
        if self.output.suffix in (".xml", ".bin"):
            raise OutputError(f"{self.output}: the output is a folder; leave {self.output.suffix} out")

    def _check_kv(self, kv: str) -> None:
        from ovpass.tuning.kv_candidates import check_kinds  # noqa: PLC0415 - not needed to print help
        from ovpass.tuning.kv_runner import check_chunk, chunk_above  # noqa: PLC0415

        target = find_name(self.target).target
        check_kinds(target, kv)
        check_chunk(self.window_tokens, chunk_above(target.default_threshold))

    @property
    def budget(self) -> list[str]:
        """The budget as options of tune."""
        given = zip(("--max-kl", "--max-ppl-increase"), self._limits, strict=True)
        return [word for name, value in given if value is not None for word in (name, f"{value:g}")]

    @property
    def _limits(self) -> tuple[float | None, float | None]:
        given = (self.preset, self.max_kl, self.max_ppl_increase)
        return limits_of(*(given if any(limit is not None for limit in given) else (DEFAULT, None, None)))

    @property
    def stages(self) -> Path:
        """The folder of the stages: one beside the output, if none was named."""
        return self.work or self.output.with_name(f"{self.output.name}.stages")
