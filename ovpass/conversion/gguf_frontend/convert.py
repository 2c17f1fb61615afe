"""Convert GGUF files with OpenVINO's own frontend."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ovpass.conversion.answers import ask
from ovpass.conversion.gguf_checks import BYTE_LEVEL, check_finite
from ovpass.conversion.gguf_metadata import GgufFile
from ovpass.conversion.isolated_process import run_python
from ovpass.conversion.source import Options, Outcome
from ovpass.support.extras import extra_module
from ovpass.support.processes import python_code
from ovpass.support.progress import Progress

_CONVERT_TOKENIZER = "import openvino_genai as g; g.Tokenizer(sys.argv[1], enable_save_ov_model=True)"


def convert_with_frontend(file: GgufFile, folder: Path, options: Options, progress: Progress) -> Outcome:
    """Write the model and its tokenizer into `folder`.

    Raises:
        ModelError: for a file that is damaged, or of an architecture that is not known.
        OutputError: if not everything could be written.
        ExtraError: if openvino-genai is not installed, which converts the tokenizer.
    """
    if file.tokenizer == BYTE_LEVEL:
        extra_module("openvino_genai", "genai", "converting GGUF files")
    check_finite(file)
    progress("converting with OpenVINO's GGUF frontend")
    outcome = ask(
        "ovpass.conversion.gguf_frontend.child",
        [str(file.path.resolve()), str(folder), json.dumps(vars(options))],
        folder.parent / "answer.json",
        f"{file.path}: OpenVINO's GGUF frontend cannot convert it",
    )
    return replace(outcome, notes=[*outcome.notes, *_convert_tokenizer(file, folder, progress)])


def _convert_tokenizer(file: GgufFile, folder: Path, progress: Progress) -> list[str]:
    """By GenAI, which builds byte-level BPE alone."""
    if file.tokenizer != BYTE_LEVEL:
        return [
            f"no tokenizer: OpenVINO GenAI does not build {file.tokenizer!r} from GGUF; copy openvino_tokenizer.* and "
            "openvino_detokenizer.* from a conversion of the model's Hugging Face folder"
        ]
    progress("converting the tokenizer")
    beside = folder / "model.gguf"
    beside.symlink_to(file.path.resolve())
    run_python(
        python_code(_CONVERT_TOKENIZER, str(beside)), f"{file.path}: OpenVINO GenAI cannot convert its tokenizer"
    )
    beside.unlink()
    return []
