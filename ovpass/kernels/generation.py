"""Generate text with a model folder, whether kernels of ours are in it or not."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ovpass.errors import ModelError
from ovpass.kernels.loading import load_pipeline
from ovpass.support.extras import extra_module
from ovpass.support.formatting import last_line


@dataclass(frozen=True)
class Generated:
    """A text, and the times to its first token and from each token to the next, in milliseconds."""

    text: str
    tokens: int
    ttft_ms: float
    tpot_ms: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def generate(folder: Path | str, prompt: str, device: str = "CPU", max_new_tokens: int = 100) -> Generated:
    """The most likely continuation of `prompt`.

    Raises:
        OvpassError: as `load_pipeline`, and ModelError for what OpenVINO GenAI says while it generates.
    """
    pipeline = load_pipeline(folder, device)
    genai = extra_module("openvino_genai", "genai", "generating text")
    config = genai.GenerationConfig(max_new_tokens=max_new_tokens, do_sample=False)
    try:
        done = pipeline.generate([prompt], config)
    except RuntimeError as error:
        raise ModelError(f"{folder}: OpenVINO GenAI cannot generate text with it: {last_line(error)}") from error
    metrics = done.perf_metrics
    return Generated(
        done.texts[0],
        int(metrics.get_num_generated_tokens()),
        float(metrics.get_ttft().mean),
        float(metrics.get_tpot().mean),
    )
