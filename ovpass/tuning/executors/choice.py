"""Choose the executor of a search by where it is to run."""

from __future__ import annotations

from ovpass.evaluation.workers import Workers, choose_workers


def choose_executor(
    workers: int | None = None,
    cluster: str | None = None,
    *,
    mixed_hosts: bool = False,
    blockwise: bool = False,
) -> tuple[str, Workers]:
    """The name of the executor, a key of EXECUTORS, and its workers, for the options of `choose_workers`.

    Raises:
        SettingsError: for a choice that contradicts itself.
    """
    chosen = choose_workers(workers, cluster, mixed_hosts=mixed_hosts, blockwise=blockwise)
    alone = "blockwise" if blockwise else "in-process"
    return "cluster" if cluster is not None else alone if workers is None else "processes", chosen
