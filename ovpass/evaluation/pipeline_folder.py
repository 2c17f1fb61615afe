"""The folder of a language model as OpenVINO GenAI reads it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ovpass.errors import ModelError
from ovpass.evaluation.preparation import Prepared

MODEL = "openvino_model.xml"
_TOKENIZERS = ("openvino_tokenizer.xml", "openvino_detokenizer.xml")
_SETTINGS = (".json", ".jinja")


def require_tokenizers(folder: Path, otherwise: str) -> None:
    """Make sure that the tokenizer and detokenizer of a language model are there; `otherwise` is what else to do.

    Raises:
        ModelError: naming the file that is missing.
    """
    missing = [name for name in _TOKENIZERS if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"{folder}: has no {missing[0]}, which OpenVINO GenAI needs for a language model; create it with "
            f"openvino-tokenizers, or {otherwise}"
        )


@contextmanager
def pipeline_folder(prepared: Prepared, tokenizer: Path) -> Iterator[Path]:
    """A temporary folder with the model as it was prepared; TMPDIR says where it lies."""
    import openvino as ov  # noqa: PLC0415 - not needed to check a folder

    with tempfile.TemporaryDirectory(prefix="ovpass-generate-") as name:
        folder = Path(name)
        ov.save_model(prepared.model, folder / MODEL, compress_to_fp16=False)
        for path in _carried(prepared.home or tokenizer, tokenizer):
            if not (folder / path.name).exists():
                (folder / path.name).symlink_to(path.resolve())
        yield folder


def _carried(home: Path, tokenizer: Path) -> Iterator[Path]:
    """Tokenizer and detokenizer, and the configurations of the model."""
    for name in _TOKENIZERS:
        yield from tokenizer.glob(f"{Path(name).stem}.*")
    yield from (path for path in sorted(home.iterdir()) if path.suffix in _SETTINGS)
