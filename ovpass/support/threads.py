"""Run tasks in threads, in the order in which they come."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ovpass.support.extras import extra_module

_Result = TypeVar("_Result")


def in_threads(tasks: Iterable[Callable[[], _Result]]) -> Iterator[_Result]:
    """What the tasks return, in their order; as many run at a time as there are processors.

    Tasks are taken one by one, when a thread is free for them, so that few of them need memory at a time. Products of
    matrices in them have one thread each: those of BLAS would wait for one another, and take three times as long.

    Raises:
        ExtraError: without threadpoolctl.
    """
    blas = extra_module("threadpoolctl", "compress", "encoding weights")
    threads = os.cpu_count() or 1
    waiting: deque[Future[_Result]] = deque()
    with blas.threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        for task in tasks:
            waiting.append(pool.submit(task))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
