"""Workers: the processes or hosts that measure instead of this process."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ovpass.errors import SettingsError
from ovpass.support.cluster import LOCAL, DaskCluster


@dataclass(frozen=True)
class Workers:
    """Where measurements run, if not in this process.

    `count` is the number of processes, None: 2, or those that the cluster has. Each computes on `threads` threads,
    None: its share of the processors. `cluster` is the address of a scheduler of Dask, or "local" for a cluster that
    lives as long as the command. `mixed` allows workers that differ in CPU or OpenVINO version.

    Raises:
        SettingsError: for numbers below 1.
    """

    count: int | None = None
    threads: int | None = None
    cluster: str | None = None
    mixed: bool = False

    def __post_init__(self) -> None:
        for name, number in (("workers", self.count), ("threads", self.threads)):
            if number is not None and number < 1:
                raise SettingsError(f"{name} {number}: use 1 or more")

    @property
    def processes(self) -> int:
        """How many processes to start on this machine."""
        return self.count or 2

    @property
    def threads_here(self) -> int:
        """How many threads each of these processes has."""
        return self.threads or max(1, (os.cpu_count() or 1) // self.processes)

    def join(self) -> DaskCluster:
        """The cluster; it is called when it is first used."""
        return DaskCluster(self.cluster or LOCAL, self.processes, self.threads_here)

    def threads_on(self, cluster: DaskCluster) -> int:
        """How many threads each worker of the cluster computes on."""
        return self.threads or cluster.fewest_threads


def choose_workers(
    workers: int | None = None,
    cluster: str | None = None,
    *,
    mixed_hosts: bool = False,
    blockwise: bool = False,
) -> Workers:
    """The workers that options ask for.

    `workers` processes share the processors of this machine, None: this process measures. `cluster` is the address of a
    scheduler of Dask, or "local". `mixed_hosts` allows workers with other CPUs or versions of OpenVINO. `blockwise` has
    one block in memory at a time.

    Raises:
        SettingsError: for a choice that contradicts itself.
    """
    if mixed_hosts and cluster is None:
        raise SettingsError("--mixed-hosts: there is one host without --cluster; add it, or leave this out")
    if workers is not None and cluster not in (None, LOCAL):
        raise SettingsError("--workers: a cluster has its own; leave it out, or use --cluster local")
    if blockwise and (workers is not None or cluster is not None):
        raise SettingsError("--blockwise: runs in this process alone; leave out --workers and --cluster")
    return Workers(workers, cluster=cluster, mixed=mixed_hosts)
