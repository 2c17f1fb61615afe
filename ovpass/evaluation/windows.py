"""Cut a text into evaluation windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ovpass.errors import SettingsError, TextError
from ovpass.evaluation.options import WindowOptions
from ovpass.evaluation.tokenizer import Ids, Tokenizer


@dataclass(frozen=True)
class Window:
    """A sequence of token ids [tokens]; predictions of the last `scored` of its tokens count."""

    ids: Ids
    scored: int

    @property
    def targets(self) -> npt.NDArray[np.int64]:
        """The tokens to predict: [scored]."""
        return self.ids[len(self.ids) - self.scored :]

    def start(self, tokens: int) -> Window:
        """Its first tokens; the first one of all is scored by none."""
        ids = self.ids[:tokens]
        return Window(ids, min(self.scored, len(ids) - 1))

    @property
    def identity(self) -> bytes:
        """What tells windows apart."""
        return self.ids.tobytes() + bytes([self.scored % 256])


def make_windows(text: str, tokenizer: Tokenizer, options: WindowOptions, *, least: int | None = None) -> list[Window]:
    """Windows of equal length, each opened by the tokenizer's own prefix; overlaps are scored once.

    `least` windows are enough where the text has not as many as the options ask for; None: it has to have them all.

    Raises:
        TextError: if the text is too short for them.
    """
    body = options.tokens - len(tokenizer.prefix)
    step = min(options.step, body)
    if body < 2:
        raise SettingsError(
            f"windows of {options.tokens} tokens leave no room after the tokenizer's prefix; use longer windows"
        )
    needed = body + step * (options.skip + options.count - 1)
    ids = tokenizer.encode(text, needed)
    count = min(options.count, max(0, (len(ids) - body) // step + 1 - options.skip))
    enough = options.count if least is None else least
    if count < enough:
        needed = body + step * (options.skip + enough - 1)
        raise TextError(
            f"the text has {len(ids)} tokens; {enough} windows of {options.tokens} tokens need {needed}; "
            "use fewer or shorter windows, or a longer text"
        )
    starts = [step * (options.skip + number) for number in range(count)]
    return [
        Window(
            np.concatenate([tokenizer.prefix, ids[start : start + body]]),
            (body if len(tokenizer.prefix) else body - 1) if start == starts[0] or step == body else step,
        )
        for start in starts
    ]
