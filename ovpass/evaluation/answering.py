"""Have a reference and candidates answer prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ovpass.errors import TextError
from ovpass.evaluation.answers import AnswersReport, AnswersSummary, compare_answers
from ovpass.evaluation.candidates import Candidate
from ovpass.evaluation.generation import Answer, Generator, require_generation
from ovpass.evaluation.options import PromptOptions
from ovpass.evaluation.preparation import Prepared, prepare, prepare_reference
from ovpass.evaluation.prompts import read_prompts
from ovpass.evaluation.sentence_encoder import SentenceEncoder
from ovpass.evaluation.tokenizer import Ids, load_tokenizer
from ovpass.ir.model_config import context_length, read_config


class Answering:
    """Prompts, read once and put to one model after the other; `folder` holds the tokenizer and config.json.

    Raises:
        TextError: for prompts that cannot be read.
        ModelError: for an encoder that cannot be used, or a folder without tokenizer.
        ExtraError: if OpenVINO GenAI is not installed.
    """

    def __init__(
        self,
        options: PromptOptions,
        folder: Path,
        device: str = "CPU",
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._options, self._folder, self._device, self._progress = options, folder, device, progress
        require_generation(folder)
        self._prompts = read_prompts(options.file)
        self._encoder = None if options.encoder is None else SentenceEncoder(options.encoder)
        self._tokenizer = load_tokenizer(folder)

    def run(self, reference: Candidate, candidates: Sequence[Candidate]) -> AnswersReport:
        """The candidates' answers against the reference's.

        Raises:
            OvpassError: for a model, setting or prompt that cannot be used.
        """
        truth, _ = self._answers(prepare_reference(reference, self._device, generates=True), reference.label)
        found = tuple(self._compared(candidate, truth) for candidate in candidates)
        return AnswersReport(self._options.new_tokens, found)

    def _compared(self, candidate: Candidate, truth: Sequence[Answer]) -> AnswersSummary:
        answers, notes = self._answers(prepare(candidate, self._device, generates=True), candidate.label)
        return replace(compare_answers(self._prompts, truth, answers, self._encoder), notes=notes)

    def _answers(self, prepared: Prepared, name: str) -> tuple[list[Answer], tuple[str, ...]]:
        self._progress(f"{name}: compiling")
        generator = Generator(prepared, name, self._folder, self._device)
        prompts = [self._ids(prompt, generator) for prompt in self._prompts]
        self._check_room(prompts)
        size = self._options.batch
        batches = [prompts[start : start + size] for start in range(0, len(prompts), size)]
        notes = generator.check(batches)
        options = {"max_new_tokens": self._options.new_tokens, "do_sample": False}
        answers: list[Answer] = []
        for batch in batches:
            self._progress(f"{name}: answer {len(answers) + 1} of {len(prompts)}")
            answers += generator.generate(batch, options)
        return answers, notes

    def _ids(self, prompt: str, generator: Generator) -> Ids:
        """As GenAI puts it: by the chat template, which brings the special tokens, or opened by the tokenizer's."""
        text = generator.chat(prompt)
        ids = self._tokenizer.encode_at_once(text)
        return ids if text != prompt else np.concatenate([self._tokenizer.prefix, ids])

    def _check_room(self, prompts: Sequence[Ids]) -> None:
        context = context_length(read_config(self._folder))
        longest = max(map(len, prompts))
        if context is not None and longest + self._options.new_tokens > context:
            raise TextError(
                f"{self._options.file}: a prompt of {longest} tokens and {self._options.new_tokens} new ones are "
                f"longer than the context of {context}; use a shorter prompt, or fewer --new-tokens"
            )
