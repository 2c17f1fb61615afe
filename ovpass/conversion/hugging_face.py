"""Hugging Face folders as a source."""

from __future__ import annotations

from ovpass.conversion.hugging_face_folder import models_in
from ovpass.conversion.source import Job, Outcome, Source


def _convert(job: Job) -> Outcome:
    from ovpass.conversion.hugging_face_export import convert_hugging_face  # noqa: PLC0415 - not needed to print help

    options = job.options
    return convert_hugging_face(job.model, job.folder, options, job.progress)


HUGGING_FACE = Source(
    title="Hugging Face",
    is_file=lambda *_: False,
    in_folder=models_in,
    convert=_convert,
    options=("task", "weight_format", "requantize", "trust_remote_code"),
)
