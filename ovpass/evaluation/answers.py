"""Compare what two models answer, token by token and by meaning, as who-what-benchmark of OpenVINO GenAI does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from ovpass.evaluation.generation import Answer
from ovpass.evaluation.sentence_encoder import SentenceEncoder

_WORST = 3


@dataclass(frozen=True)
class AnswerPair:
    """A candidate's answer beside the reference's.

    `first_divergent` is the number of tokens before the two part, None if they are the same. `equal` is the percentage
    of the reference's tokens in blocks that both have, in order. `similarity` is the cosine of sentence embeddings,
    None without an encoder.
    """

    prompt: str
    reference: str
    candidate: str
    first_divergent: int | None
    equal: float
    similarity: float | None


@dataclass(frozen=True)
class AnswersSummary:
    """All answers of one candidate. `first_divergent` is the mean, where the same answer counts as its length.

    `identical` is the number of answers that are the same. `equal` and `similarity` are means. `worst` are the least
    alike, first by similarity and without that by equal tokens.
    """

    prompts: int
    identical: int
    first_divergent: float
    equal: float
    similarity: float | None
    worst: tuple[AnswerPair, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnswersReport:
    """The answers of each candidate, at most `new_tokens` tokens long."""

    new_tokens: int
    candidates: tuple[AnswersSummary, ...]


def compare_answers(
    prompts: Sequence[str], truth: Sequence[Answer], found: Sequence[Answer], encoder: SentenceEncoder | None
) -> AnswersSummary:
    """Summarize a candidate's answers to the prompts."""
    pairs = [_pair(*case, encoder) for case in zip(prompts, truth, found, strict=True)]
    starts = [
        len(answer.ids) if pair.first_divergent is None else pair.first_divergent
        for pair, answer in zip(pairs, truth, strict=True)
    ]
    differing = sorted((pair for pair in pairs if pair.first_divergent is not None), key=_alike)
    return AnswersSummary(
        prompts=len(pairs),
        identical=len(pairs) - len(differing),
        first_divergent=float(np.mean(starts)),
        equal=float(np.mean([pair.equal for pair in pairs])),
        similarity=None if encoder is None else float(np.mean([pair.similarity for pair in pairs])),
        worst=tuple(differing[:_WORST]),
    )


def _alike(pair: AnswerPair) -> tuple[float, float]:
    return (pair.equal if pair.similarity is None else pair.similarity, pair.equal)


def _pair(prompt: str, truth: Answer, found: Answer, encoder: SentenceEncoder | None) -> AnswerPair:
    a, b = truth.ids.tolist(), found.ids.tolist()
    if a == b:
        return AnswerPair(prompt, truth.text, found.text, None, 100.0, None if encoder is None else 1.0)
    parted = next(
        (place for place, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), min(len(a), len(b))
    )
    shared = sum(block.size for block in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks())
    similarity = None if encoder is None else encoder.similarity(truth.text, found.text)
    return AnswerPair(prompt, truth.text, found.text, parted, 100 * shared / len(a) if a else 0.0, similarity)
