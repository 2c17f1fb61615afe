"""Choose the executor of a search by where it is to run."""

from __future__ import annotations

from ovpass.errors import SettingsError
from ovpass.tuning.executors.base import Workers


def choose_executor(
    workers: int | None = None,
    cluster: str | None = None,
    *,
    mixed_hosts: bool = False,
    blockwise: bool = False,
) -> tuple[str, Workers]:
    """The name of the executor, a key of EXECUTORS, and its workers.

    `workers` processes share the processors of this machine, None: this process measures. `cluster` is the address of a
    scheduler of Dask, or "local". `mixed_hosts` allows workers with other CPUs or versions of OpenVINO. `blockwise` has
    one block in memory at a time.

    Raises:
        SettingsError: for a choice that contradicts itself.
    """
    if mixed_hosts and cluster is None:
        raise SettingsError("--mixed-hosts: there is one host without --cluster; add it, or leave this out")
    if workers is not None and cluster not in (None, "local"):
        raise SettingsError("--workers: a cluster has its own; leave it out, or use --cluster local")
    if blockwise and (workers is not None or cluster is not None):
        raise SettingsError("--blockwise: runs in this process alone; leave out --workers and --cluster")
    alone = "blockwise" if blockwise else "in-process"
    name = "cluster" if cluster is not None else alone if workers is None else "processes"
    return name, Workers(workers, cluster=cluster, mixed=mixed_hosts)
