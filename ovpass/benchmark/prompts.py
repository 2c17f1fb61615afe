"""Random or text prompts as token ids, of exact length, none a prefix of another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ovpass.benchmark.workload import Workload
from ovpass.errors import TextError

Ids = npt.NDArray[np.int64]


class Prompts:
    """Prompts of random tokens below `vocabulary`, or cut from `text`, token ids of any number.

    No two of them begin alike: GenAI keeps what it computed for one, and skips it in the next that begins so. The
    same seed and index give the same tokens to every model of that vocabulary.

    Raises:
        TextError: if the text is too short to cut all prompts from.
    """

    def __init__(self, workload: Workload, *, vocabulary: int = 0, text: Ids | None = None) -> None:
        self._seed, self._vocabulary, self._text = workload.seed, vocabulary, text
        if text is None:
            return
        longest, count = max(workload.lengths or ()), workload.prompts
        room, least = len(text) - longest, count - 1
        if room < least:
            raise TextError(
                f"{workload.text}: has {len(text)} tokens; {count} prompts of up to {longest} need {longest + least}"
            )
        starts = np.linspace(0, room, count, dtype=np.int64)
        self._starts = np.random.default_rng(self._seed).permutation(starts)

    def make(self, tokens: int, index: int) -> Ids:
        """Token ids `[1, tokens]`."""
        if self._text is not None:
            start = self._starts[index]
            return np.ascontiguousarray(self._text[None, start : start + tokens])
        return np.random.default_rng((self._seed, index)).integers(0, self._vocabulary, (1, tokens))
