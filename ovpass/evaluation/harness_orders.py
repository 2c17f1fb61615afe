"""The texts that lm-evaluation-harness asks for, in batches. It is imported only where lm-eval is installed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

from ovpass.errors import SettingsError
from ovpass.evaluation.tokenizer import Ids

_NEW_TOKENS = 256
"""Of an answer where the task names no limit: lm-eval's own default."""
_SAMPLING = ("temperature", "top_p", "top_k", "min_p")
"""They mean nothing without do_sample."""
_TAKEN = ("do_sample", *_SAMPLING, "repetition_penalty", "presence_penalty", "frequency_penalty", "min_new_tokens")
"""Settings that GenAI has under the same names."""


@dataclass(frozen=True)
class Order:
    """One text to generate: its place, the prompt [tokens], the strings that end it, and GenAI's options."""

    number: int
    prompt: Ids
    stop: tuple[str, ...]
    options: Mapping[str, Any]


def make_order(number: int, prompt: Sequence[int], settings: Mapping[str, Any], context: int) -> Order:
    """A request with a task's settings; a prompt that leaves no room in the context loses its beginning.

    Raises:
        SettingsError: for settings that are not supported, or an answer longer than the context.
    """
    values = normalize_gen_kwargs(dict(settings), _NEW_TOKENS)
    stop = tuple(text for text in handle_stop_sequences(values.pop("until"), eos=None) if text)
    new = values.pop("max_gen_toks")
    if new >= context:
        raise SettingsError(f"harness: answers of {new} tokens are longer than the model's context of {context}")
    unknown = [name for name in values if name not in _TAKEN]
    if unknown:
        raise SettingsError(
            f"harness: generation setting {unknown[0]!r} is not supported; those that are: {', '.join(_TAKEN)}"
        )
    sampled = bool(values["do_sample"])
    kept = {name: value for name, value in values.items() if sampled or name not in _SAMPLING}
    # The same seed for every model, another one for every repeat of a question.
    seed = {"rng_seed": number} if sampled else {}
    options = {"max_new_tokens": new, "stop_strings": set(stop), **kept, **seed}
    return Order(number, np.array(prompt, np.int64)[-(context - new) :], stop, options)


def batches(orders: Sequence[Order], size: int) -> Iterator[tuple[int, list[Order]]]:
    """Orders with the same options together, the longest first, so that little is padded; and how many came before."""
    alike: dict[str, list[Order]] = defaultdict(list)
    for order in sorted(orders, key=lambda order: -len(order.prompt)):
        alike[repr(sorted(order.options.items(), key=lambda item: item[0]))].append(order)
    done = 0
    for group in alike.values():
        for start in range(0, len(group), size):
            yield done, group[start : start + size]
            done += len(group[start : start + size])
