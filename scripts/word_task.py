"""Write a multiple-choice task for lm-evaluation-harness, made of the novel that comes with ovpass.

    python scripts/word_task.py MODEL OUT [--items 250]

`last_word`: a passage of Persuasion breaks off before the last word of a clause; which of eight words is it? The other
seven end clauses elsewhere in the book, drawn with a fixed seed. Passages do not overlap, and lie behind what ovpass
evaluate and compress read by default. They are longer than the 64 tokens above which GPUs quantize, and every word is
one token of MODEL's tokenizer, so that the answers of an item take one run.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

from ovpass.evaluation.corpus import read_text
from ovpass.evaluation.tokenizer import Tokenizer, load_tokenizer

NAME = "last_word"
FIRST_CHARACTER = 40_000
"""Behind 8 windows of 512 tokens and 32 samples of 128, of four to five characters a token."""
PASSAGE = 340
"""Characters before the word: 65 tokens and more, mostly."""
FEWEST_TOKENS = 65
CHOICES = 8
SEED = 0
LAST_WORD = re.compile(r" ([a-z]{4,})[.,:;!?]")
YAML = """task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{passage}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list:
  - metric: acc
metadata:
  version: 1
"""


def main() -> None:
    """Write the task, and say how many items it has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder with the tokenizer")
    parser.add_argument("out", type=Path, help="folder for the task")
    parser.add_argument("--items", type=int, default=250)
    arguments = parser.parse_args()
    count = write_task(arguments.model, arguments.out, arguments.items)
    print(f"{count} items: ovpass evaluate ... --harness {NAME} --harness-tasks-dir {arguments.out}")


def write_task(model: Path, folder: Path, items: int) -> int:
    """Write the task into `folder` and return how many of the `items` the text had room for."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder.resolve() / f"{NAME}.jsonl"
    lines = [json.dumps(item) for item in make_items(read_text(), load_tokenizer(model), items)]
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / f"{NAME}.yaml").write_text(YAML.format(name=NAME, data=json.dumps(str(data))), encoding="utf-8")
    return len(lines)


def make_items(text: str, tokenizer: Tokenizer, count: int) -> list[dict[str, object]]:
    """At most `count` items, in the order of the book."""
    chance, prose = random.Random(SEED), " ".join(text.split())
    words = sorted({word for word in LAST_WORD.findall(prose) if len(tokenizer.encode_at_once(f" {word}")) == 1})
    items: list[dict[str, object]] = []
    for passage, word in passages(prose, set(words)):
        if len(items) == count:
            break
        if len(tokenizer.encode_at_once(passage)) < FEWEST_TOKENS:
            continue
        choices = [word, *chance.sample([other for other in words if other != word], CHOICES - 1)]
        chance.shuffle(choices)
        items.append({"passage": passage, "choices": choices, "answer": choices.index(word)})
    return items


def passages(prose: str, words: set[str]) -> Iterator[tuple[str, str]]:
    """Passages that start at a word and do not overlap, each with the word that ends its last clause."""
    start = FIRST_CHARACTER
    for match in LAST_WORD.finditer(prose, FIRST_CHARACTER):
        if match.start() - start >= PASSAGE and match[1] in words:
            yield prose[prose.rindex(" ", 0, match.start() - PASSAGE) + 1 : match.start()], match[1]
            start = match.end()


if __name__ == "__main__":
    main()
