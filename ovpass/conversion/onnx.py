"""Convert ONNX files."""

from __future__ import annotations

from pathlib import Path

from ovpass.conversion.source import Job, Outcome, Source

_PLACES = ("*.onnx", "onnx/*.onnx")


def _convert(job: Job) -> Outcome:
    from ovpass.conversion.onnx_file import convert_onnx  # noqa: PLC0415 - imports OpenVINO
    from ovpass.conversion.tokenizers import carry_tokenizer  # noqa: PLC0415 - reads IRs

    notes = convert_onnx(job.model, job.folder, job.progress)
    notes += carry_tokenizer(job.root if job.root.is_dir() else None, job.folder, job.progress)
    return Outcome(notes=notes)


def _in_folder(folder: Path) -> list[Path]:
    return sorted(path for place in _PLACES for path in folder.glob(place))


ONNX = Source(
    title="ONNX",
    is_file=lambda path, _: path.suffix == ".onnx",
    in_folder=_in_folder,
    convert=_convert,
)
