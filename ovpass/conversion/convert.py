"""Convert a GGUF, Hugging Face or ONNX model to an OpenVINO model folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from ovpass.conversion import SOURCES
from ovpass.conversion.find_source import FoundSource, find_source, holds_ir
from ovpass.conversion.isolated_process import offline
from ovpass.conversion.linear_layers import find_linear_layers
from ovpass.conversion.requantization import Requantized, integer_encoding
from ovpass.conversion.source import Job, Options, Outcome
from ovpass.conversion.tokenizers import is_converted
from ovpass.errors import ModelError, OutputError, SettingsError
from ovpass.ir.files import IrFile, open_source
from ovpass.planning.plan import describe_weights
from ovpass.sites.files import find_sites_in_file
from ovpass.support.atomic_output import publish, staging
from ovpass.support.progress import Progress
from ovpass.transformation.destination import refuse_link
from ovpass.transformation.run_notes import FILE_NAME

_OF_A_MODEL = (
    "openvino_*", "*config*.json", "*token*", "vocab.*", "merges.txt", "chat_template*", "*.model", "model_index.json",
    "LICENSE*", "NOTICE*", FILE_NAME,
)  # fmt: skip
_NOTHING_ASKED = Options()
_NOTHING_REQUANTIZED = "nothing is re-quantized: all weights are integers with whole zero points, or in floating point"


@dataclass(frozen=True)
class Layers:
    """`count` linear layers of a kind with weights alike, in words; `compressed` ones are sites."""

    kind: str
    weights: str
    compressed: bool
    count: int


@dataclass(frozen=True)
class ConvertedModel:
    """One model that was made; `bytes` is the size of its .bin."""

    key: str
    bytes: int
    ops: int
    layers: tuple[Layers, ...]

    @property
    def sites(self) -> int:
        """MatMuls with compressed weights."""
        return sum(layers.count for layers in self.layers if layers.compressed)


@dataclass(frozen=True)
class Converted:
    """What was written, and what is to be said of it; `task` is the exporter's, where there is one."""

    output: Path
    kind: str
    task: str | None
    tokenizer: bool
    models: tuple[ConvertedModel, ...]
    notes: tuple[str, ...]
    requantized: Requantized | None = None


def convert_source(
    source: Path | str,
    output: Path | str,
    options: Options = _NOTHING_ASKED,
    *,
    overwrite: bool = False,
    progress: Progress = lambda _: None,
) -> Converted:
    """Convert a GGUF file, a Hugging Face folder or an ONNX model to the model folder `output`, never by network.

    Raises:
        OvpassError: a subclass, for an invalid source, setting or path, and for missing packages; then nothing
            is written.
    """
    found = find_source(source)
    _check_options(found, options)
    destination = _check_place(found, Path(output), overwrite)
    with offline(), staging(destination) as staged:
        folder = staged / "output"
        folder.mkdir()
        outcome = found.source.convert(Job(found.root, found.model, folder, options, progress))
        if options.requantize and outcome.requantized is None:
            outcome = replace(outcome, notes=[*outcome.notes, _NOTHING_REQUANTIZED])
        done = _describe(found, folder, destination, outcome)
        publish(folder, destination)
    return done


def _check_options(found: FoundSource, options: Options) -> None:
    if options.exact and options.integer_zero_points:
        raise SettingsError(
            "integer-zero-points: exact weights are f16 and have no zero points; leave one of the two out"
        )
    if options.requantize is not None:
        integer_encoding(options.requantize)
        if options.exact or options.integer_zero_points:
            other = "exact" if options.exact else "integer-zero-points"
            raise SettingsError(f"requantize: {other} keeps what it would quantize anew; leave one of the two out")
    for name in options.given():
        if name not in found.source.options:
            takers = [source.title for source in SOURCES.values() if name in source.options]
            raise SettingsError(
                f"{name.replace('_', '-')}: is for {' and '.join(takers)}; {found.model} is {found.source.title}"
            )


def _check_place(found: FoundSource, output: Path, overwrite: bool) -> Path:
    """Refuse an output that would harm the source, or anything that is not a model of ours."""
    if output.suffix in (".xml", ".bin"):
        raise OutputError(f"{output}: the output is a model folder; leave {output.suffix} out")
    target, root = output.resolve(), found.root.resolve()
    if target == root or target in root.parents or (root.is_dir() and root in target.parents):
        raise OutputError(f"{output}: overlaps the source; choose another place")
    refuse_link(output)
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return output
    if not overwrite:
        raise OutputError(f"{output}: exists already; choose another place or allow overwriting (--overwrite)")
    if not output.is_dir():
        raise OutputError(f"{output}: is a file, which a model folder cannot replace; choose another place")
    files = [path for path in sorted(output.rglob("*")) if path.is_symlink() or not path.is_dir()]
    if not holds_ir(output):
        raise OutputError(f"{output}: holds no model to overwrite; choose another place, or empty it")
    foreign = [path for path in files if not any(fnmatch(path.name, pattern) for pattern in _OF_A_MODEL)]
    if foreign:
        raise OutputError(
            f"{output}: holds {foreign[0].relative_to(output)}, which does not belong to a converted model; "
            "choose another place, or empty it"
        )
    return output


def _describe(found: FoundSource, folder: Path, destination: Path, outcome: Outcome) -> Converted:
    """Look at what was written as any reader would."""
    models = tuple(_describe_model(ir) for ir in open_source(folder).models)
    if not any(model.layers for model in models):
        raise ModelError(f"{found.model}: has no MatMul with constant weights after the conversion")
    return Converted(
        destination,
        found.source.title,
        outcome.task,
        is_converted(folder),
        models,
        tuple(outcome.notes),
        outcome.requantized,
    )


def _describe_model(ir: IrFile) -> ConvertedModel:
    document = ir.document()
    graph = document.graph
    types: Mapping[str, str] = {
        graph.name(index): graph.element_type(index) for index, kind in enumerate(graph.types) if kind == "Constant"
    }
    counted = Counter((site.kind, describe_weights(site), True) for site in find_sites_in_file(ir, document))
    linear = find_linear_layers(graph)
    counted.update((layer.kind, f"{types[layer.weights]} {layer.n}x{layer.k}", False) for layer in linear)
    layers = tuple(Layers(*key, count) for key, count in counted.items())
    return ConvertedModel(ir.key, ir.bin.stat().st_size, document.ops, layers)
