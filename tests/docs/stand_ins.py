"""Small models and files under the names of those that documents show runs of but that tests do not have."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from tests.builders.planted import PLANTED, save_planted
from tests.compression.conftest import float_llama
from tests.documents import ROOT, without_numbers

LINKS = {
    "minilm-l6-int8/openvino_model.xml": "models/tiny-encoder-int8/openvino_model.xml",
    "minilm-l6-int8/openvino_model.bin": "models/tiny-encoder-int8/openvino_model.bin",
    "minilm-l6-int8/openvino_tokenizer.xml": "models/tiny-llama-int4/openvino_tokenizer.xml",
    "minilm-l6-int8/openvino_tokenizer.bin": "models/tiny-llama-int4/openvino_tokenizer.bin",
    **dict.fromkeys(("exported", "int8", "model"), "models/tiny-llama-int4"),
    "model.onnx": "models/onnx/qdq_i4.onnx",
    "SmolLM2-135M-Instruct.Q4_1.gguf": "tests/conversion/tiny-q4_1.gguf",
}
FILES = {
    "settings.yaml": "group_size: 64\n",
    "answers_well.py": "import pathlib, sys\n\n"
    "xml = pathlib.Path(sys.argv[1], 'openvino_model.xml').read_text(encoding='utf-8')\n"
    "sys.exit('FakeQuantize' in xml)\n",
}

# What differs between models and machines besides numbers, and what stands for it.
_VARIES = (
    (r"group size (mixed|per-token),?", "group size 0"),
    (r"^(CPU|openvino\w*)\b.*", r"\1"),
    (r"^(--exempt|- match:) .*", r"\1"),
    (r"\b0 (\w+?)s\b", r"0 \1"),
    (r"u0:0", "u0"),
    (r"(half of the loss is in 0 of 0 cache): .*", r"\1"),
)


def furnish(workplace: Path) -> None:
    """Put all of them there."""
    for name, target in LINKS.items():
        (workplace / name).parent.mkdir(exist_ok=True)
        (workplace / name).symlink_to(ROOT / target)
    for name, text in FILES.items():
        (workplace / name).write_text(text, encoding="utf-8")
    save_planted(workplace / "smollm2-135m", 0, config=replace(PLANTED, blocks=2))
    save_planted(workplace / "smollm2-135m-int8", 2, config=replace(PLANTED, blocks=3, hidden=64, ffn=128))
    float_llama(workplace / "smollm2-135m-f16")


def heads(printed: str) -> list[list[str]]:
    """The heads of its tables."""
    lines = printed.splitlines()
    return [
        re.split(r" {2,}", line.strip()) for line, below in pairwise(lines) if below.strip() and not below.strip(" ─")
    ]


def sentences(printed: str) -> set[str]:
    """Its lines beside tables, without what differs between models."""
    return {_form(line) for line in printed.splitlines() if line.strip() and not line.startswith((" ", "..."))}


def _form(line: str) -> str:
    line = without_numbers(line)
    for pattern, stands in _VARIES:
        line = re.sub(pattern, stands, line)
    return line
