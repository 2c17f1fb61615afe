"""The lm-evaluation-harness model class. It is imported only where lm-eval is installed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows

from ovpass.errors import TextError
from ovpass.evaluation.generation import Generator
from ovpass.evaluation.harness_orders import batches, make_order
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.tokenizer import Tokenizer
from ovpass.evaluation.windows import Window
from ovpass.ir.model_config import context_length, read_config

_LENGTH = 2048
"""Tokens of context where config.json says nothing, and at most where whole documents are predicted."""
_ROWS = 128

Request = tuple[tuple[str, str], list[int], list[int]]


class Engines(Protocol):
    """A model compiled for both kinds of requests, each where it is first asked for."""

    @property
    def runner(self) -> Runner:
        """For log-likelihoods."""

    @property
    def generator(self) -> Generator:
        """For texts."""


class Judge(TemplateLM):  # type: ignore[misc]
    """Answers by `engines`: texts in batches of `batch`, all else one by one; `folder` may hold a config.json.

    Every request runs from an empty cache, as a prompt of its own: a kept cache would show the model a few tokens
    at a time, and those are not quantized. Requests that differ in their last token alone share one run. `notes` say
    what is to be known about the answers.
    """

    def __init__(
        self,
        engines: Engines,
        tokenizer: Tokenizer,
        folder: Path,
        name: str,
        *,
        batch: int = 1,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self._engines, self._tokenizer, self._batch = engines, tokenizer, batch
        self._name, self._progress = name, progress
        self._folder = folder
        self.notes: tuple[str, ...] = ()
        self._config = read_config(folder)
        self._length = context_length(self._config) or _LENGTH

    @property
    def eot_token_id(self) -> int:
        """The token that opens a text without context: the tokenizer's own, else the one of config.json."""
        own = [int(token) for token in self._tokenizer.prefix[-1:]]
        for given in (own, self._config.get("bos_token_id"), self._config.get("eos_token_id")):
            token = next(iter(given), None) if isinstance(given, list) else given
            if type(token) is int:
                return token
        raise TextError(
            f"{self._folder}: its config.json has neither bos_token_id nor eos_token_id; "
            "texts without context start with one of them"
        )

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """The ids of a text, opened as the tokenizer does unless that is declined."""
        ids = [int(token) for token in self._tokenizer.encode_at_once(string)]
        return ids if add_special_tokens is False else [*map(int, self._tokenizer.prefix), *ids]

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """For each context and continuation: ln p of the continuation, and whether it is the likeliest."""
        answers: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=disable_tqdm)
        return answers

    def _loglikelihood_tokens(self, requests: Sequence[Request], **_: Any) -> list[tuple[float, bool]]:
        shared: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for number, (_texts, context, continuation) in enumerate(requests):
            if not 0 < len(continuation) <= self._length:
                raise TextError(f"{self._name}: a text is longer than its tokenizer or its context of {self._length}")
            shared[tuple([*context, *continuation][-self._length - 1 : -1])].append(number)
        answers = [(0.0, False)] * len(requests)
        for done, (shown, numbers) in enumerate(sorted(shared.items(), key=lambda item: -len(item[0]))):
            self._progress(f"{self._name}: request {done + 1} of {len(shared)}")
            wanted = [np.array(requests[number][2], np.int64) for number in numbers]
            scored = max(map(len, wanted))
            logits = self._engines.runner.logits(Window(np.array([*shown, wanted[0][-1]], np.int64), scored))
            for number, ids in zip(numbers, wanted, strict=True):
                answers[number] = _likelihood(logits[scored - len(ids) :], ids)
        return answers

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> list[float]:
        """For each text: ln p of all its tokens, each predicted once."""
        answers = []
        for number, request in enumerate(requests):
            self._progress(f"{self._name}: text {number + 1} of {len(requests)}")
            ids = [int(token) for token in self._tokenizer.encode(request.args[0])]
            windows = get_rolling_token_windows(ids, self.eot_token_id, min(self._length, _LENGTH), 1)
            answers.append(sum(self._predicted(shown, wanted) for shown, wanted in windows))
        return answers

    def _predicted(self, shown: list[int], wanted: list[int]) -> float:
        window = Window(np.array([*shown, wanted[-1]], np.int64), len(wanted))
        return _likelihood(self._engines.runner.logits(window), window.targets)[0]

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:
        """For each context and settings: the text that follows, up to the first of the strings that end it."""
        orders = [
            make_order(number, self.tok_encode(context), settings, self._length)
            for number, (context, settings) in enumerate(request.args for request in requests)
        ]
        generator = self._engines.generator
        cut = list(batches(orders, self._batch))
        self.notes = (*self.notes, *generator.check([[order.prompt for order in batch] for _, batch in cut]))
        texts = [""] * len(orders)
        for done, batch in cut:
            self._progress(f"{self._name}: answer {done + 1} of {len(orders)}")
            answers = generator.generate([order.prompt for order in batch], batch[0].options)
            for order, answer in zip(batch, answers, strict=True):
                texts[order.number] = postprocess_generated_text(answer.text, list(order.stop), None)
        return texts


def _likelihood(logits: npt.NDArray[Any], ids: npt.NDArray[np.int64]) -> tuple[float, bool]:
    """The sum of ln p of `ids` [n] under `logits` [n, vocabulary], and whether each is the likeliest."""
    total, greedy = 0.0, True
    for start in range(0, len(ids), _ROWS):  # a copy in f64 of all would be large
        rows = logits[start : start + _ROWS].astype(np.float64)
        chosen = ids[start : start + _ROWS]
        rows -= rows.max(-1, keepdims=True)
        total += float((rows[np.arange(len(chosen)), chosen] - np.log(np.exp(rows).sum(-1))).sum())
        greedy = greedy and bool((rows.argmax(-1) == chosen).all())
    return total, greedy
