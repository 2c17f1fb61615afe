"""The GGUF source of `ovpass convert`."""

from __future__ import annotations

from ovpass.conversion.source import Job, Outcome, Source


def _convert(job: Job) -> Outcome:
    """By OpenVINO's frontend, or by GenAI's reader where OpenVINO has none."""
    from ovpass.conversion.gguf_file import open_gguf  # noqa: PLC0415 - imports NumPy
    from ovpass.conversion.gguf_frontend.convert import convert_with_frontend  # noqa: PLC0415
    from ovpass.conversion.gguf_frontend.frontend import library  # noqa: PLC0415 - imports OpenVINO
    from ovpass.conversion.gguf_genai import convert_with_genai  # noqa: PLC0415
    from ovpass.conversion.gguf_metadata import write_configurations  # noqa: PLC0415

    file, options = open_gguf(job.model), job.options
    if library() is None:
        outcome = Outcome(notes=convert_with_genai(file, job.folder, exact=options.exact, progress=job.progress))
    else:
        outcome = convert_with_frontend(file, job.folder, options, job.progress)
    write_configurations(file, job.folder)
    return outcome


GGUF = Source(
    title="GGUF",
    is_file=lambda path, head: head.startswith(b"GGUF") or path.suffix == ".gguf",
    in_folder=lambda folder: sorted(folder.glob("*.gguf")),
    convert=_convert,
    options=("exact", "integer_zero_points", "requantize"),
)
