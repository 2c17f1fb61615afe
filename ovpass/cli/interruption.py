"""The message that long commands print when Ctrl-C stops them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def resumable(*, kept: bool = True) -> Iterator[None]:
    """Say, where the block is interrupted, that its measurements are `kept`.

    Raises:
        KeyboardInterrupt: the same, in words.
    """
    try:
        yield
    except KeyboardInterrupt as interruption:
        if not kept:
            raise
        raise KeyboardInterrupt("measurements are kept; run the same command again to continue") from interruption
