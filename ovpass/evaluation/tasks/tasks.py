"""What the tasks' YAML files name: data, prompts and scores. lm-eval imports this file by its path."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from ovpass.support.structured_text import parse_json, read_text

_FOLDER = Path(__file__).parent
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_MARKS = str.maketrans("", "", string.punctuation)


def arithmetic(**_: Any) -> Mapping[str, datasets.Dataset]:
    """Word problems with `question` and `answer`: those that are shown, and those that are asked."""
    return {"train": _dataset(_lines("arithmetic_shown")), "test": _dataset(_lines("arithmetic"))}


def conversation(**_: Any) -> Mapping[str, datasets.Dataset]:
    """One item a turn: `story`, `questions` up to this one and `answers`, whose last one is wanted."""
    items = (item for passage in _lines("conversation") for item in _turns(passage))
    return {"test": _dataset(items)}


def conversation_text(item: Mapping[str, Any]) -> str:
    """The passage, the turns before, and the question, as lm-eval's coqa puts them."""
    asked, answered = item["questions"]["input_text"], item["answers"]["input_text"]
    before = "".join(f"Q: {q}\n\nA: {a}\n\n" for q, a in zip(asked, answered[:-1], strict=False))
    return f"{item['story']}\n\n{before}Q: {asked[-1]}\n\nA:"


def conversation_target(item: Mapping[str, Any]) -> str:
    """The answer to the last question."""
    return str(item["answers"]["input_text"][-1])


def conversation_scores(item: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Exact match and F1 of words, as the evaluation of SQuAD 1.1 (and CoQA) defines them."""
    wanted, found = (_words(text) for text in (conversation_target(item), results[0].strip().partition("\n")[0]))
    shared = (Counter(wanted) & Counter(found)).total()
    return {"em": float(wanted == found), "f1": 2 * shared / (len(wanted) + len(found)) if wanted or found else 1.0}


def _words(text: str) -> list[str]:
    """Lower case, without punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_MARKS)).split()


def _turns(passage: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    asked, answered = ([turn[place] for turn in passage["turns"]] for place in (0, 1))
    for count in range(1, len(asked) + 1):
        questions, answers = {"input_text": asked[:count]}, {"input_text": answered[:count]}
        yield {"story": passage["story"], "questions": questions, "answers": answers}


def _lines(name: str) -> list[dict[str, Any]]:
    return [parse_json(line) for line in read_text(_FOLDER / f"{name}.jsonl").splitlines()]


def _dataset(items: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> datasets.Dataset:
    return datasets.Dataset.from_list(list(items))
