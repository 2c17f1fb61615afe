"""The process of the frontend: `python -m ovpass.conversion.gguf_frontend.child SOURCE FOLDER OPTIONS ANSWER`.

A damaged file can crash the frontend.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ovpass.conversion.answers import reply
from ovpass.conversion.gguf_file import open_gguf
from ovpass.conversion.gguf_frontend.graph import Built, build_model
from ovpass.conversion.gguf_frontend.weights import Placed, Wanted, place_weights
from ovpass.conversion.requantization import Requantizer, integer_encoding
from ovpass.conversion.source import Options, Outcome
from ovpass.ir.files import IrFile
from ovpass.ir.writer import write_anew
from ovpass.support.formatting import counted, number
from ovpass.support.structured_text import parse_json


def main() -> None:
    """Convert, and answer."""
    source, folder, options, answer = sys.argv[1:]
    reply(Path(answer), lambda: _convert(Path(source), Path(folder), Options(**parse_json(options))))


def _convert(source: Path, folder: Path, options: Options) -> Outcome:
    file = open_gguf(source)
    built = build_model(file, folder.parent)
    requantizer = Requantizer(integer_encoding(options.requantize)) if options.requantize else None
    placed = place_weights(built.model, file, Wanted(options.exact, options.integer_zero_points, requantizer))
    write_anew(built.model, IrFile(folder / "openvino_model.xml"), folder)
    notes = [*_notes_on_weights(placed), *_notes_on_graph(built)]
    return Outcome(notes=notes, requantized=requantizer.result if requantizer else None)


def _notes_on_weights(placed: Placed) -> list[str]:
    notes = []
    if placed.floating:
        notes.append(
            f"zero points of {_matrices(placed.floating)} are not whole: devices do not quantize activations for "
            "those; --requantize i8 makes integers of the weights, --integer-zero-points rounds the zero points"
        )
    if placed.rounded:
        error = number(100 * placed.error**0.5 / placed.size**0.5, 2)
        notes.append(f"zero points of {_matrices(placed.rounded)} are rounded, which changes the weights by {error} %")
    if placed.dequantized:
        notes.append(f"{_matrices(placed.dequantized)} are dequantized to f16, which has another size")
    return notes


def _matrices(kinds: dict[str, int]) -> str:
    return " and ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) + " matrices"


def _notes_on_graph(built: Built) -> list[str]:
    notes = []
    if built.experts:
        notes.append(f"{counted(built.experts, 'block')} of experts: the model computes all experts for every token")
    if built.window is not None:
        notes.append(
            f"tokens attend within a window of {built.window}, which GenAI's paged attention does not see: for longer "
            "prompts set ATTENTION_BACKEND to SDPA"
        )
    return notes


if __name__ == "__main__":
    main()
