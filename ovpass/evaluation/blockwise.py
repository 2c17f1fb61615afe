"""Run a model larger than memory: one block is loaded, all windows go through it, and the next one follows.

What blocks hand on lies on disk. Several variants of the model run together: as far as two are alike, they run once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy.typing as npt
import openvino as ov

from ovpass.errors import ModelError
from ovpass.evaluation.compiled_segment import CompiledSegment, Tensors
from ovpass.evaluation.cuts import UncuttableError, find_cut
from ovpass.evaluation.feeding import TokenFeed
from ovpass.evaluation.hidden_states import HiddenStates
from ovpass.evaluation.runner import scored_rows
from ovpass.evaluation.segments import Segment, cut_model
from ovpass.evaluation.windows import Window
from ovpass.ir.graph import Output
from ovpass.ir.model_graph import ModelGraph
from ovpass.sites import find_compressed_matmuls
from ovpass.support.progress import Progress

Array = npt.NDArray[Any]
Key = tuple[Hashable, ...]
V = TypeVar("V")
V_contra = TypeVar("V_contra", contravariant=True)


class Part(Protocol[V_contra]):
    """A compiled segment that runs variants."""

    def run(self, feed: Mapping[str, Array], tensors: Tensors, variant: V_contra) -> list[Array]:
        """All outputs for one window, valid until the next run; the longest window comes first."""


class Parts(Protocol[V_contra]):
    """How segments are compiled, and in what they differ from variant to variant."""

    def load(self, segment: Segment) -> Part[V_contra]:
        """Compile a segment."""

    def key(self, segment: Segment, variant: V_contra) -> Hashable:
        """What is equal for two variants if the segment computes the same for both."""


class Blockwise(Generic[V]):
    """A model of which one segment is in memory at a time.

    `make` reads the model anew, its weights mapped: with it goes what was read of them. `home` is the model's folder.
    What segments hand on is kept in `hidden`; what is there already is not computed again.

    Raises:
        ModelError: if the model cannot be cut at its blocks, or takes no token ids.
    """

    def __init__(
        self,
        make: Callable[[], ov.Model],
        name: str,
        home: Path | None,
        parts: Parts[V],
        hidden: HiddenStates,
        progress: Progress,
    ) -> None:
        self._make, self._name, self._parts, self._hidden, self._progress = make, name, parts, hidden, progress
        model = make()
        self._feed = TokenFeed(model, name, home)
        self._segments = segments_of(model, name)
        self._sender = {source: number for number, segment in enumerate(self._segments) for source in segment.sent}
        self._last = next(number for number, segment in enumerate(self._segments) if segment.logits is not None)

    def logits(self, asked: Sequence[tuple[Window, V]]) -> Iterator[Array]:
        """The predictions [scored, vocabulary] of each pair in turn, valid until the next; long windows come first.

        Raises:
            ModelError: if the model fails, or gives no predictions for every token.
            OutputError: if there is no room for what segments hand on. What is there is kept.
        """
        keys = [self._key(variant) for _, variant in asked]
        runs = self._needed(asked, keys)
        for number in range(self._last):
            if runs[number]:
                self._progress(f"block {number + 1} of {self._last + 1}: {len(runs[number])} runs")
                self._send(number, [(*asked[place], keys[place]) for place in runs[number].values()])
                self._forget(number, asked, keys)
        self._progress(f"block {self._last + 1} of {self._last + 1}: {len(asked)} runs")
        part = self._load(self._last)
        place = self._segments[self._last].logits or 0
        for (window, variant), key in zip(asked, keys, strict=True):
            outputs = part.run(self._feed(window.ids), self._received(self._last, window, key), variant)
            yield scored_rows(outputs[place], window, self._name)

    def _key(self, variant: V) -> Key:
        return tuple(self._parts.key(segment, variant) for segment in self._segments)

    def _needed(self, asked: Sequence[tuple[Window, V]], keys: Sequence[Key]) -> list[dict[Key, int]]:
        """For each segment its runs: each key of one with the place of a pair that has it.

        From the last segment to the first, as `make` does: what lies on disk is not computed again.
        """
        runs: list[dict[Key, int]] = [{} for _ in range(self._last + 1)]
        wanted = list(enumerate(keys))
        for number in range(self._last, -1, -1):
            places = [place for place, _ in wanted] if number == self._last else list(runs[number].values())
            for place in places:
                window, key = asked[place][0], keys[place]
                for source in self._segments[number].received:
                    if self._what(source, window, key) not in self._hidden:
                        sender = self._sender[source]
                        runs[sender].setdefault((window.ids.tobytes(), *key[: sender + 1]), place)
        # Long windows first, as asked: a place tells the order.
        return [dict(sorted(found.items(), key=lambda item: item[1])) for found in runs]

    def _send(self, number: int, runs: Sequence[tuple[Window, V, Key]]) -> None:
        part = self._load(number)
        for window, variant, key in runs:
            outputs = part.run(self._feed(window.ids), self._received(number, window, key), variant)
            for source, values in zip(self._segments[number].sent, outputs, strict=False):
                self._hidden.save(self._what(source, window, key), values)

    def _load(self, number: int) -> Part[V]:
        return self._parts.load(segments_of(self._make(), self._name)[number])

    def _received(self, number: int, window: Window, key: Key) -> dict[Output, Array]:
        sources = self._segments[number].received
        return {source: self._hidden.load(self._what(source, window, key)) for source in sources}

    def _forget(self, number: int, asked: Sequence[tuple[Window, V]], keys: Sequence[Key]) -> None:
        """Drop what no later segment reads."""
        later = {source for segment in self._segments[number + 1 : self._last + 1] for source in segment.received}
        for source in set(self._segments[number].received) - later:
            for (window, _), key in zip(asked, keys, strict=True):
                self._hidden.drop(self._what(source, window, key))

    def _what(self, source: Output, window: Window, key: Key) -> object:
        """What a tensor depends on: nothing that is switched after its segment."""
        return source, window.ids.tobytes(), key[: self._sender[source] + 1]


class PlainParts:
    """The segments of a model as it is, on a device."""

    def __init__(self, name: str, properties: Mapping[str, str], device: str) -> None:
        self._name, self._properties, self._device = name, properties, device

    def load(self, segment: Segment) -> Part[None]:
        """Compile a segment."""
        return _PlainPart(CompiledSegment(segment, self._name, self._properties, self._device))

    def key(self, segment: Segment, variant: None) -> Hashable:
        """There is one variant."""
        return None


class _PlainPart:
    def __init__(self, compiled: CompiledSegment) -> None:
        self._compiled = compiled

    def run(self, feed: Mapping[str, Array], tensors: Tensors, variant: None) -> list[Array]:
        return self._compiled.run(feed, tensors)


def segments_of(model: ov.Model, name: str) -> list[Segment]:
    """Cut a model in place, at its blocks.

    Raises:
        ModelError: if it cannot be.
    """
    sites = find_compressed_matmuls(model)
    try:
        cut = find_cut(ModelGraph(model), sites)
    except UncuttableError as error:
        raise ModelError(f"{name}: cannot run block by block: {error}; leave --blockwise out") from error
    return cut_model(model, cut, sites)
