"""Generate text with OpenVINO GenAI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from ovpass.errors import ModelError, SettingsError
from ovpass.evaluation.pipeline_folder import pipeline_folder, require_tokenizers
from ovpass.evaluation.preparation import Prepared
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.tokenizer import Ids
from ovpass.planning.plan import QUANTIZE
from ovpass.support.extras import extra_module
from ovpass.support.formatting import counted, last_line

_STATEFUL = {"ATTENTION_BACKEND": "SDPA"}
"""GenAI's other backend joins the tokens of several prompts, and skips what a prompt shares with one before it: both
change which tokens are quantized."""
_PADDING = 0
"""Any token: it is masked."""
_SAME = 0.05
"""Nats. GenAI and the model alone agree to about 1e-4 in ln p of a token, where roundings of one order are 0."""


@dataclass(frozen=True)
class Answer:
    """What a model adds to a prompt: token ids [tokens] and their text, without what ended it."""

    ids: Ids
    text: str


def require_generation(tokenizer: Path) -> Any:
    """OpenVINO GenAI, where it is installed and finds its tokenizer in a folder.

    Raises:
        ExtraError: if it is not installed.
        ModelError: if the folder has no tokenizer for it.
    """
    genai = extra_module("openvino_genai", "genai", "generating text")
    require_tokenizers(tokenizer, "name a folder that has one with --tokenizer")
    return genai


class Generator:
    """A prepared model in GenAI's pipeline; `tokenizer` is the folder with the tokenizer.

    Prompts are token ids and run from an empty cache, so that each is quantized as a prompt is.

    Raises:
        ModelError: for a model that GenAI does not run.
        OvpassError: as `require_generation`.
    """

    def __init__(self, prepared: Prepared, name: str, tokenizer: Path, device: str = "CPU") -> None:
        self._genai = require_generation(tokenizer)
        self._prepared, self._name, self._device = prepared, name, device
        self._proven = not self._quantizes
        with pipeline_folder(prepared, tokenizer) as folder:
            try:
                properties = {**prepared.properties, **_STATEFUL}
                self._pipeline = self._genai.LLMPipeline(str(folder), device, **properties)
            except RuntimeError as error:
                raise ModelError(f"{name}: does not run with OpenVINO GenAI on {device}: {last_line(error)}") from error
        self._tokenizer = self._pipeline.get_tokenizer()
        config = self._pipeline.get_generation_config()
        self._ends = {int(config.eos_token_id), *map(int, config.stop_token_ids)}

    @property
    def _quantizes(self) -> bool:
        return self._prepared.plan is not None and bool(self._prepared.plan.chosen(QUANTIZE))

    @property
    def threshold(self) -> int:
        """The number of tokens up to which a prompt is not quantized at any site."""
        plan = self._prepared.plan
        return min((d.threshold or 0 for d in plan.chosen(QUANTIZE)), default=0) if plan is not None else 0

    def check(self, batches: Sequence[Sequence[Ids]]) -> tuple[str, ...]:
        """Notes on prompts that run in these batches, whose tokens count together.

        Raises:
            SettingsError: if none is quantized.
        """
        small = [batch for batch in batches if len(batch) * max(map(len, batch)) <= self.threshold]
        within, prompts = (sum(map(len, some)) for some in (small, batches))
        if not self._quantizes or not within:
            return ()
        if within == prompts:
            longest = max(len(prompt) for batch in batches for prompt in batch)
            raise SettingsError(
                f"{self._name}: prompts of at most {counted(longest, 'token')} are within the threshold of "
                f"{self.threshold}: nothing is quantized; use longer prompts, or threshold=0"
            )
        return (f"{within} of {counted(prompts, 'prompt')} are within the threshold of {self.threshold} tokens",)

    def chat(self, question: str) -> str:
        """The question as the tokenizer's chat template puts it; as it is where there is none."""
        if not self._tokenizer.chat_template:
            return question
        return str(self._tokenizer.apply_chat_template([{"role": "user", "content": question}], True))

    def generate(self, prompts: Sequence[Ids], options: Mapping[str, Any]) -> list[Answer]:
        """Answers to prompts [tokens], which run as one batch; `options` are those of GenAI's GenerationConfig,
        which ignores unknown names.

        Answers of a batch run to their full length and are cut here: once an answer has ended, GenAI 2026.4 lets
        later ones go on from the cache of others.

        Raises:
            ModelError: if the model fails, or GenAI does not run what was prepared.
            SettingsError: for options that GenAI does not take.
        """
        if not self._proven:
            self._prove(max(prompts, key=len))
        stop = () if len(prompts) == 1 else tuple(options.get("stop_strings", ()))
        full = {} if len(prompts) == 1 else {"ignore_eos": True, "stop_strings": set()}
        try:
            config = self._genai.GenerationConfig(**{**options, **full})
            config.validate()
        except (RuntimeError, TypeError) as error:
            raise SettingsError(f"generation: OpenVINO GenAI refuses {dict(options)}: {last_line(error)}") from error
        return [self._answer(ids, stop) for ids in self._run(prompts, config).tokens]

    def _answer(self, ids: Sequence[int], stop: Sequence[str]) -> Answer:
        """The tokens up to the end of the text, or to the one with which one of the strings is complete."""
        length = next((place for place, token in enumerate(ids) if token in self._ends), len(ids))
        text = str(self._tokenizer.decode(list(ids[:length])))
        end = min((place for place in map(text.find, stop) if place >= 0), default=None)
        return Answer(np.array(ids[:length], np.int64), text[:end])

    def _run(self, prompts: Sequence[Ids], config: Any) -> Any:
        longest = max(map(len, prompts))
        ids = np.full((len(prompts), longest), _PADDING, np.int64)
        mask = np.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :], mask[row, longest - len(prompt) :] = prompt, 1
        try:
            inputs = self._genai.TokenizedInputs(ov.Tensor(ids), ov.Tensor(mask))
            return self._pipeline.generate(inputs, config)
        except RuntimeError as error:
            raise ModelError(f"{self._name}: fails to generate: {last_line(error)}") from error

    def score(self, prompt: Ids) -> tuple[int, float]:
        """The likeliest next token by GenAI, and its ln p."""
        found = self._run([prompt], self._genai.GenerationConfig(max_new_tokens=1, do_sample=False, logprobs=1))
        return int(found.tokens[0][0]), float(found.scores[0])

    def _prove(self, prompt: Ids) -> None:
        """Make sure that GenAI runs the quantization: it finds the next token as likely as the model run alone."""
        token, score = self.score(prompt)
        logits = Runner(self._prepared, self._name, self._device).following(prompt).astype(np.float64)
        own = logits[token] - np.logaddexp.reduce(logits)
        if not abs(own - score) < _SAME:
            raise ModelError(
                f"{self._name}: OpenVINO GenAI predicts ln p {score:.4f}, the quantized model alone {own:.4f}: "
                "GenAI does not run this quantization, so its cost cannot be measured"
            )
        self._proven = True
