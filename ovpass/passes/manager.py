"""Run passes in order, validate the model after each, and report the results."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ovpass.errors import OvpassError, PassError
from ovpass.ir.metadata import Metadata
from ovpass.passes.base import MetadataPass, Pass, PassResult

if TYPE_CHECKING:
    import openvino as ov

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """A changed model and the report of every pass that ran."""

    model: ov.Model
    results: tuple[PassResult, ...]

    @property
    def changed(self) -> bool:
        """Whether any pass changed anything."""
        return any(result.changed for result in self.results)


@dataclass(frozen=True)
class PassManager:
    """Runs passes in order."""

    passes: Sequence[Pass]

    def run(self, model: ov.Model, *, in_place: bool = False) -> Outcome:
        """Run all passes on a clone of `model`, or in place. Weights that no pass changes are shared, not copied.

        Raises:
            PassError: if a pass fails or leaves the model invalid. It names the pass; the cause is chained.
        """
        model = model if in_place else model.clone()
        return Outcome(model, tuple(_run_one(step, model) for step in self.passes))


def run_on_metadata(passes: Sequence[MetadataPass], metadata: Metadata) -> tuple[PassResult, ...]:
    """Run passes that change no node on a model in any form."""
    results = []
    for step in passes:
        started = time.perf_counter()
        counts = step.edit(metadata)
        results.append(_result(step, counts, started))
    return tuple(results)


def _run_one(step: Pass, model: ov.Model) -> PassResult:
    interface = _interface(model)
    started = time.perf_counter()
    try:
        counts = step.run(model)
        if not isinstance(step, MetadataPass):
            model.validate_nodes_and_infer_types()
    except OvpassError:
        raise
    except Exception as error:
        raise PassError(f"pass {step.name} failed: {error}") from error
    if _interface(model) != interface:
        raise PassError(f"pass {step.name} changed the model's inputs or outputs; please report this")
    return _result(step, counts, started)


def _result(step: Pass | MetadataPass, counts: Mapping[str, int], started: float) -> PassResult:
    result = PassResult(step.name, dict(counts), time.perf_counter() - started)
    _LOGGER.info("pass %s: %s in %.3f s", result.name, result.counts, result.seconds)
    return result


def _interface(model: ov.Model) -> list[tuple[str, str, frozenset[str]]]:
    """Element type, rank and tensor names of every input and output."""
    return [
        (port.get_element_type().to_string(), str(port.get_partial_shape().rank), frozenset(port.get_names()))
        for port in (*model.inputs, *model.outputs)
    ]
