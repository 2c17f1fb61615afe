"""Run tasks in threads, in the order in which they come."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Result = TypeVar("_Result")


def in_threads(tasks: Iterable[Callable[[], _Result]]) -> Iterator[_Result]:
    """What the tasks return, in their order; as many run at a time as there are processors.

    Tasks are taken one by one, when a thread is free for them, so that few of them need memory at a time.
    """
    threads = os.cpu_count() or 1
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
