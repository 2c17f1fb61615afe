"""Run a language model with OpenVINO GenAI."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import openvino as ov
import openvino_genai

from ovpass.benchmark.messages import TPOT, TTFT, Sample
from ovpass.benchmark.prompts import Prompts
from ovpass.benchmark.subjects import Subject
from ovpass.benchmark.workload import Workload
from ovpass.errors import TextError, VerifyError
from ovpass.ir.files import open_source
from ovpass.kernels.loading import pipeline_options

_LOG = "OPENVINO_LOG_LEVEL"
_INFO = "2"
_TITLE = "Model: "
_LOOKED_UP, _NGRAM = 5, 3  # tokens proposed at a time, and the match that proposes them, as in GenAI's own sample


class Generator:
    """A loaded pipeline; prompts are token ids, so that their lengths are exact and no tokenizer is timed.

    Raises:
        RuntimeError: what GenAI throws for models, devices and properties that it does not take.
        TextError: if the text is too short to cut all prompts from.
    """

    sweeps, requests = True, 1

    def __init__(self, subject: Subject, workload: Workload) -> None:
        self.versions = {"openvino_genai": openvino_genai.__version__}
        options = pipeline_options(open_source(subject.path), workload.device)
        options.update({"prompt_lookup": True} if workload.prompt_lookup else {})
        with _standard_output() as log:
            started = time.perf_counter()
            self._pipeline = openvino_genai.LLMPipeline(
                str(subject.path), workload.device, **subject.properties, **options
            )
            self.seconds = time.perf_counter() - started
            log.seek(0)
            self.effective = _reported(log.read().decode("utf-8", "replace"))
        self._config = _greedy(workload)
        self._prompts = _prompts(self._pipeline.get_tokenizer(), workload)

    def measure(self, sample: Sample) -> dict[str, float]:
        """Time to the first token, and the mean time from each token to the next, in milliseconds."""
        prompt = self._prompts.make(sample.tokens or 1, sample.index)
        result = self._pipeline.generate(ov.Tensor(prompt), self._config)
        made, wanted = len(result.tokens[0]), self._config.max_new_tokens
        if made != wanted:
            raise VerifyError(f"generates {made} tokens after {prompt.size}, not {wanted}")
        metrics = result.perf_metrics
        first = float(metrics.get_ttft().mean)
        # From the whole, and not GenAI's mean of steps: with prompt lookup a step can yield several tokens.
        return {TTFT: first, TPOT: (float(metrics.get_generate_duration().mean) - first) / (made - 1)}


def _prompts(tokenizer: openvino_genai.Tokenizer, workload: Workload) -> Prompts:
    if workload.text is None:
        return Prompts(workload, vocabulary=len(tokenizer.get_vocab()))
    ids = np.array(tokenizer.encode(_words(workload.text)).input_ids.data, np.int64)
    return Prompts(workload, text=ids.reshape(-1))


def _words(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(f"{path}: is not UTF-8 text: {error}") from error


def _greedy(workload: Workload) -> openvino_genai.GenerationConfig:
    number = workload.output_tokens
    config = openvino_genai.GenerationConfig(
        max_new_tokens=number, min_new_tokens=number, ignore_eos=True, do_sample=False
    )
    if workload.prompt_lookup:
        config.num_assistant_tokens, config.max_ngram_size = _LOOKED_UP, _NGRAM
    return config


@contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    """A file with what the block prints, from C++ too, while GenAI is told to print what it compiled with."""
    saved, before = os.dup(1), os.environ.get(_LOG)
    with tempfile.TemporaryFile() as file:
        sys.stdout.flush()
        os.dup2(file.fileno(), 1)
        os.environ[_LOG] = _INFO
        try:
            yield file
        finally:
            os.dup2(saved, 1)
            os.close(saved)
            if before is None:
                del os.environ[_LOG]
            else:
                os.environ[_LOG] = before


def _reported(log: str) -> dict[str, str]:
    """The properties of the compiled language model: a pipeline does not give them out, but prints them last."""
    lines = log.rpartition(_TITLE)[2].splitlines()
    pairs = (line.strip().partition(": ") for line in lines if line.startswith("  "))
    return {name: value for name, _, value in pairs if value}
