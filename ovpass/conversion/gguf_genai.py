"""Convert GGUF files with OpenVINO GenAI."""

from __future__ import annotations

import shutil
from pathlib import Path

from ovpass.conversion.gguf_checks import notes_on_tensors
from ovpass.conversion.gguf_exact import write_f16
from ovpass.conversion.gguf_file import check_architecture, check_readable, notes_on_types
from ovpass.conversion.gguf_metadata import GgufFile
from ovpass.conversion.isolated_process import run_python
from ovpass.errors import ModelError, OutputError
from ovpass.support.extras import extra_module
from ovpass.support.processes import python_code
from ovpass.support.progress import Progress

_CONVERT = "import openvino_genai as g; g.LLMPipeline(sys.argv[1], 'CPU', enable_save_ov_model=True)"
"""GenAI writes the model beside the file that it reads, and has no call that does not compile it, too."""

_CANNOT_WRITE = "iostream error"


def convert_with_genai(file: GgufFile, folder: Path, *, exact: bool, progress: Progress) -> list[str]:
    """Write the model and its tokenizer into `folder`; returns notes on what was lost.

    With `exact` weights are dequantized to f16 first; otherwise they stay in the blocks of the file, as 4- and 8-bit
    integers, as far as GenAI can express them.

    Raises:
        ModelError: for a file that is damaged, or that GenAI cannot convert.
        ExtraError: if openvino-genai is not installed.
    """
    check_architecture(file)
    if not exact:
        check_readable(file)
    extra_module("openvino_genai", "genai", "converting GGUF files")
    beside = folder / "model.gguf"
    if exact:
        write_f16(file, beside, progress)
    else:
        beside.symlink_to(file.path.resolve())
    progress("converting with OpenVINO GenAI")
    try:
        run_python(python_code(_CONVERT, str(beside)), f"{file.path}: OpenVINO GenAI cannot convert it")
    except ModelError as error:
        if _CANNOT_WRITE in str(error):
            free = shutil.disk_usage(folder).free / 1e6
            raise OutputError(
                f"{file.path}: cannot be converted: the output disk has {free:.0f} MB left; free some space"
            ) from error
        raise
    beside.unlink()
    if not (folder / "openvino_model.xml").is_file():
        raise ModelError(f"{file.path}: OpenVINO GenAI wrote no model; a newer openvino-genai may be needed")
    return [*notes_on_tensors(file), *([] if exact else notes_on_types(file))]
