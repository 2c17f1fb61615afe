"""Executors: where the measurements of a search run."""

from ovpass.evaluation.workers import Workers
from ovpass.tuning.executors.base import Executor, Make, Subject, Task
from ovpass.tuning.executors.block_by_block import BlockByBlock
from ovpass.tuning.executors.cluster import Cluster
from ovpass.tuning.executors.in_process import InProcess
from ovpass.tuning.executors.processes import Processes

EXECUTORS: dict[str, Make] = {
    "in-process": InProcess,
    "processes": Processes,
    "cluster": Cluster,
    "blockwise": BlockByBlock,
}

__all__ = ["EXECUTORS", "BlockByBlock", "Executor", "InProcess", "Make", "Subject", "Task", "Workers"]
