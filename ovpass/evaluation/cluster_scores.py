"""Score the windows of candidates on a cluster. Predictions stay on its workers; only scores come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.hosts import Likeness, describe
from ovpass.evaluation.kept_scores import WindowScores
from ovpass.evaluation.model_copies import Model, predict, score
from ovpass.evaluation.preparation import Prepared, has_clean, prepare, prepare_clean, prepare_reference, sole_model
from ovpass.evaluation.scoring import Asked, Comparisons
from ovpass.evaluation.workers import Workers
from ovpass.support.formatting import counted
from ovpass.support.progress import Progress


class ClusterScores:
    """Hands out windows in the order in which candidates lack them; Dask chooses workers, and keeps predictions."""

    def __init__(self, comparisons: Comparisons, workers: Workers) -> None:
        self._work, self._workers, self._cluster = comparisons, workers, workers.join()
        self._kept: dict[tuple[Path | None, int], Any] = {}

    def start(self, prepared: Prepared) -> None:
        """Refuse workers whose numbers would be others.

        Raises:
            ExecutorError: if the cluster does not answer, or a worker is not like this host.
        """
        candidates = [self._work.reference, *(each.candidate for each in self._work.asked)]
        self._threads = self._workers.threads_on(self._cluster)
        self._alike = {_files(candidate): self._likeness(candidate) for candidate in candidates}
        for alike in self._alike.values():
            alike.require_on(self._cluster)
        self._found = self._cluster.results(self._futures())

    def scores(self, asked: Asked, prepared: Prepared, progress: Progress) -> Iterator[tuple[int, WindowScores]]:
        """Those of a candidate's missing windows.

        Raises:
            OvpassError: if a model cannot be run or compared, or all workers or the scheduler are lost.
        """
        count, workers = len(self._work.windows), counted(self._cluster.width, "worker")
        for number in asked.kept.missing:
            progress(f"{asked.candidate.label}: window {number + 1} of {count}, on {workers}")
            yield number, next(self._found)

    def close(self) -> None:
        """Leave the cluster."""
        self._cluster.close()

    def _futures(self) -> Iterator[Any]:
        """The scores of all missing windows."""
        for each in self._work.asked:
            model = self._model(prepare, each.candidate, each.candidate.label, self._work.device, self._work.chunk)
            for number in each.kept.missing:
                window = self._work.windows[number]
                truth, own = self._exact(number), self._own(each, number)
                yield self._cluster.submit(score, model, window, truth, own, own is truth, number == 0)

    def _exact(self, number: int) -> Any:
        """The reference's predictions of a window, which stay on the cluster until the end."""
        if (None, number) not in self._kept:
            reference = self._work.reference
            model = self._model(prepare_reference, reference, reference.label, self._work.device, self._work.chunk)
            self._kept[None, number] = self._cluster.submit(predict, model, self._work.windows[number])
        return self._kept[None, number]

    def _own(self, asked: Asked, number: int) -> Any:
        """Those of the candidate's own weights without quantization; None where they cannot be had."""
        if self._work.own_is_reference(asked.path):
            return self._exact(number)
        if not has_clean(asked.candidate):
            return None
        if (asked.path, number) not in self._kept:
            name = f"{asked.candidate.path} (clean)"
            model = self._model(prepare_clean, asked.candidate, name, self._work.chunk)
            self._kept[asked.path, number] = self._cluster.submit(predict, model, self._work.windows[number])
        return self._kept[asked.path, number]

    def _model(self, function: Callable[..., Prepared | None], candidate: Candidate, name: str, *more: Any) -> Model:
        """How workers prepare a model; they have other working folders than this process."""
        plan = None if candidate.plan is None else candidate.plan.resolve()
        here = replace(candidate, path=candidate.path.resolve(), plan=plan)
        chunk = self._work.chunk
        return Model(function, (here, *more), name, chunk, self._threads, self._alike[_files(candidate)])

    def _likeness(self, candidate: Candidate) -> Likeness:
        xml, plan = _files(candidate)
        return Likeness(xml, describe(xml, plan), plan, self._workers.mixed)


def _files(candidate: Candidate) -> tuple[str, str | None]:
    """The model and the plan of a candidate."""
    plan = None if candidate.plan is None else str(candidate.plan.resolve())
    return str(sole_model(candidate).xml.resolve()), plan
