"""Find the number of tokens up to which the plugin skips quantization."""

from __future__ import annotations

from collections.abc import Callable

from ovpass.verification.observation import TokenRun

LARGEST = 4096
_DEFAULT = 64
"""The plugin's own, which two runs confirm."""

Try = Callable[[int], TokenRun]


def find_threshold(run: Try, largest: int = LARGEST) -> int | None:
    """The largest number of tokens for which quantizers are skipped, by bisection of 1 .. `largest`.

    0 where they run for a single token, None where they never run.
    """
    if _executes(run, _DEFAULT):
        if _executes(run, 1):
            return 0
        skipped, executed = 1, _DEFAULT
    elif _executes(run, _DEFAULT + 1):
        return _DEFAULT
    elif _executes(run, largest):
        skipped, executed = _DEFAULT + 1, largest
    else:
        return None
    while executed - skipped > 1:
        middle = (skipped + executed) // 2
        if _executes(run, middle):
            executed = middle
        else:
            skipped = middle
    return skipped


def _executes(run: Try, tokens: int) -> bool:
    return any(run(tokens).executed.values())
