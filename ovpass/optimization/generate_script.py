"""Write a script of a few lines that generates text with a model on OpenVINO GenAI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.targets.runtime_options import CACHE_OPTIONS, KV_CACHE

FILE_NAME = "generate.py"
_TOKENIZER = "openvino_tokenizer.xml"

_SCRIPT = '''"""Generate text with the model in this folder: python {name} "PROMPT" [DEVICE]"""

import os
import sys
from pathlib import Path

os.environ.update({environment})  # before OpenVINO reads them
import openvino_genai

device = sys.argv[2] if len(sys.argv) > 2 else "CPU"
properties = {properties} if device.startswith("{planned}") else {elsewhere}  # the plan is for {planned}
pipeline = openvino_genai.LLMPipeline(Path(__file__).resolve().parent, device, **properties)
print(pipeline.generate(sys.argv[1], max_new_tokens=200, do_sample=False))
'''


def can_generate(folder: Path) -> bool:
    """Whether OpenVINO GenAI generates text with the model in a folder."""
    return (folder / "openvino_model.xml").is_file() and (folder / _TOKENIZER).is_file()


def script(
    environment: Mapping[str, str], properties: Mapping[str, str], planned: str, options: Mapping[str, str]
) -> str:
    """The script, with what the plan asks to be set. On devices other than `planned`, CPU or GPU, nothing is quantized.

    Their plugins would take the plan's group size in their own way, and may refuse the KV cache of its `options` in the
    IR.
    """
    no_cache = {KV_CACHE: "f16"} if any(name in options for name in CACHE_OPTIONS) else {}
    return _SCRIPT.format(
        name=FILE_NAME,
        environment=dict(environment),
        properties=dict(properties),
        planned=planned,
        elsewhere={GROUP_SIZE: "0", **no_cache},
    )
