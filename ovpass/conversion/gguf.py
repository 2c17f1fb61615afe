"""The GGUF source of `ovpass convert`."""

from __future__ import annotations

from ovpass.conversion.source import Job, Outcome, Source


def _convert(job: Job) -> Outcome:
    from ovpass.conversion.gguf_genai import convert_gguf  # noqa: PLC0415 - imports NumPy

    return Outcome(notes=convert_gguf(job.model, job.folder, exact=job.options.exact, progress=job.progress))


GGUF = Source(
    title="GGUF",
    is_file=lambda path, head: head.startswith(b"GGUF") or path.suffix == ".gguf",
    in_folder=lambda folder: sorted(folder.glob("*.gguf")),
    convert=_convert,
    options=("exact",),
)
