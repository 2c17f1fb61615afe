"""The benchmark workload: prompt lengths, output tokens, rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovpass.errors import SettingsError
from ovpass.support.processes import check_timeout

DEFAULT_LENGTHS = (32, 64, 65, 128, 512, 1024)
"""Numbers of tokens around 64, up to which GPUs with XMX do not quantize activations."""


@dataclass(frozen=True)
class Workload:
    """The device, lengths of prompts in tokens, and how often each is measured.

    `lengths` None is DEFAULT_LENGTHS, as far as they fit the models. Every length is run `warm_up` times unmeasured,
    then `repeats` times. `output_tokens`, `prompt_lookup` and `text` (a file to cut prompts from, in place of random
    tokens) are for models that generate; `inputs` (an .npz with an array for each input) is for those that do not.
    `timeout` is in seconds, for one measurement or one load.

    Raises:
        SettingsError: for numbers out of range, and a file that is not there.
    """

    device: str = "CPU"
    lengths: tuple[int, ...] | None = None
    output_tokens: int = 32
    repeats: int = 5
    warm_up: int = 1
    seed: int = 0
    prompt_lookup: bool = False
    text: Path | None = None
    inputs: Path | None = None
    timeout: float = 900.0

    def __post_init__(self) -> None:
        self._check_lengths()
        for name, number, least in (
            ("output tokens", self.output_tokens, 2),  # the time per token is that between tokens
            ("repeats", self.repeats, 1),
            ("warm-up", self.warm_up, 0),
            ("seed", self.seed, 0),
        ):
            if number < least:
                raise SettingsError(f"{name} {number}: use {least} or more")
        check_timeout(self.timeout)
        for path in (self.text, self.inputs):
            if path is not None and not path.is_file():
                raise SettingsError(f"{path}: no such file")

    def _check_lengths(self) -> None:
        if self.lengths is None:
            return
        if not self.lengths or min(self.lengths) < 1:
            raise SettingsError(f"prompt tokens {_shown(self.lengths)}: use 1 token or more")
        if len(set(self.lengths)) < len(self.lengths):
            raise SettingsError(f"prompt tokens {_shown(self.lengths)}: a length is repeated; name it once")
        if self.inputs is not None:
            raise SettingsError(f"{self.inputs}: the inputs set their own length; leave out --prompt-tokens")

    @property
    def prompts(self) -> int:
        """How many different prompts each model gets."""
        return (self.warm_up + self.repeats) * len(self.lengths or DEFAULT_LENGTHS)

    def check_generation(self, *, generates: bool) -> None:
        """Make sure that the options fit models that generate, or models that do not.

        Raises:
            SettingsError: naming the option.
        """
        if not generates and (self.prompt_lookup or self.text is not None):
            option = "--prompt-lookup" if self.prompt_lookup else "--text"
            raise SettingsError(f"{option} is for language models that generate: name the folder of one")
        if generates and self.inputs is not None:
            raise SettingsError("--inputs is for models that do not generate; name the .xml to benchmark it alone")


def _shown(lengths: Sequence[int]) -> str:
    return ",".join(map(str, lengths))
