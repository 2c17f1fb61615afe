"""Executors: where the measurements of a search run."""

from ovpass.tuning.executors.base import Executor, Make, Subject, Task
from ovpass.tuning.executors.in_process import InProcess

EXECUTORS: dict[str, Make] = {"in-process": InProcess}

__all__ = ["EXECUTORS", "Executor", "InProcess", "Make", "Subject", "Task"]
