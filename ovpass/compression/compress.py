"""Compress the weights of a model file or folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ovpass.compression.advice import TargetAdvice, ask_targets, explain_group, notes_on
from ovpass.compression.calibration import Calibration, Inputs, Text, check_runs, model_inputs
from ovpass.compression.group_compatibility import note_on_groups
from ovpass.compression.jobs import Job, find_jobs
from ovpass.compression.modes import NNCF
from ovpass.compression.nncf_weights import GroupSizeError, compress_weights, load_nncf
from ovpass.compression.preconditions import check_in_advance
from ovpass.compression.predicted_weights import SMALLEST_ADJUSTED, adjusted_group
from ovpass.compression.recipe import Recipe
from ovpass.conversion.isolated_process import offline
from ovpass.errors import SettingsError
from ovpass.ir.files import IrFile, ModelSource, open_source
from ovpass.planning.plan import describe_weights
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.sites.files import find_sites_in_file
from ovpass.support.atomic_output import publish, staging
from ovpass.support.formatting import counted
from ovpass.support.progress import Progress
from ovpass.transformation.carrying import carry_along, check_carried
from ovpass.transformation.destination import check_destination
from ovpass.transformation.publishing import publish_single
from ovpass.transformation.result import Transformed
from ovpass.transformation.transform import transform

if TYPE_CHECKING:
    import openvino as ov

    from ovpass.compression.layout import Layout


@dataclass(frozen=True)
class Format:
    """How the weights of a kind of layer are stored, `weights` in words.

    `weight_group_size` elements of K share a scale, None: all.
    """

    kind: str
    weights: str
    weight_type: str
    weight_group_size: int | None
    symmetric: bool
    codebook: bool


@dataclass(frozen=True)
class CompressedModel:
    """One model of the source. Sizes are those of the .bin in bytes; `formats` counts sites.

    `ignored` are the layers that the recipe left out, `left` those that NNCF did on top of that. `layout` is about the
    layers in vectors, None without any.
    """

    key: str
    bytes_before: int
    bytes_after: int
    ignored: tuple[str, ...]
    left: tuple[str, ...]
    formats: Mapping[Format, int]
    layout: Layout | None = None


@dataclass(frozen=True)
class Compressed:
    """The result of a compression: the output, the advice for each target, and notes of NNCF and ovpass.

    `applied` is the result of `transform` on the output, if `then` had settings for activations.
    """

    output: Path
    recipe: Recipe
    models: tuple[CompressedModel, ...]
    advice: tuple[TargetAdvice, ...]
    notes: tuple[str, ...]
    applied: Transformed | None = None


@offline()
def compress_source(
    source: Path | str,
    output: Path | str,
    recipe: Recipe | None = None,
    *,
    calibration: Calibration | None = None,
    then: Settings | None = None,
    overwrite: bool = False,
    progress: Progress = lambda _: None,
    bars: bool = False,
) -> Compressed:
    """Compress the weights of an .xml, or of all models in a folder. The output has the form of the source.

    Calibration runs only if the recipe needs it or names a text. With `then`, `transform` applies those settings to the
    result. `bars` lets NNCF draw its progress on stderr.

    Raises:
        OvpassError: a subclass, for an invalid model, recipe, text, setting or path, and if NNCF is not installed.
            Then nothing is written.
    """
    recipe, calibration = recipe or Recipe(), calibration or Calibration()
    origin = open_source(source)
    destination = check_destination(origin, Path(output), overwrite)
    check_carried(origin)
    load_nncf()
    progress("reading")
    jobs = find_jobs(origin, recipe)
    check_in_advance(recipe, calibration, then, jobs)
    text = _text(recipe, calibration, origin, progress)
    with staging(destination) as staged:
        folder = staged / "output"
        folder.mkdir()
        written = []
        for job in jobs:
            progress(f"compressing {job.ir.xml.name} to {recipe.mode}")
            written.append(_compress(job, folder, recipe, text, progress, bars))
        done = _describe(jobs, written, folder, destination, recipe, then)
        if origin.is_folder:
            carry_along(origin, [job.ir for job in jobs], folder, copy_weights=False)
        if then is not None:
            made = folder if origin.is_folder else folder / jobs[0].ir.xml.name
            applied = transform(made, destination, then, overwrite=overwrite, progress=progress)
            return _after(done, applied, jobs, origin)
        if origin.is_folder:
            publish(folder, destination)
        else:
            publish_single(jobs[0].ir, folder, destination)
    return done


def _text(recipe: Recipe, calibration: Calibration, origin: ModelSource, progress: Progress) -> Text:
    """The calibration text, empty where nothing looks at one."""
    if not recipe.needs_text and calibration.text is None:
        return Text()
    progress("tokenizing the calibration text")
    folder = origin.root if origin.is_folder else origin.root.parent
    return calibration.read(folder, held_out=recipe.max_kl is not None)


@dataclass(frozen=True)
class _Written:
    """What there is to note about a compressed model, and the layout of its layers in vectors."""

    notes: Sequence[str]
    layout: Layout | None = None


def _compress(job: Job, folder: Path, recipe: Recipe, text: Text, progress: Progress, bars: bool) -> _Written:
    """Write the compressed model to its place below `folder`."""
    from ovpass.ir.writer import write_anew  # noqa: PLC0415 - brings OpenVINO along

    model = job.ir.read()
    inputs = [model_inputs(model, job.ir.xml, sample) for sample in text.samples]
    notes = _adjusted(job, recipe)
    if inputs:
        check_runs(model, job.ir.xml, inputs[0])
    if recipe.smooth is not None:
        notes.append(_smooth(model, job, recipe.smooth, inputs))
    # Weights that an embedding shares would be compressed for its sake: they are named, too.
    ignored = [name for layer in job.ignored for name in (layer.name, layer.weights)]
    dataset = inputs if inputs and recipe.can_fit_weights else None
    layout = None
    try:
        if recipe.format.engine == NNCF:
            compressed, warnings = compress_weights(model, job.ir.xml, recipe, ignored, dataset, bars=bars)
        else:
            from ovpass.compression.own_weights import compress_layers  # noqa: PLC0415 - brings OpenVINO along

            own = compress_layers(model, job, recipe, ignored, dataset, text.held_out, progress)
            compressed, warnings, layout = own.model, own.warnings, own.layout
    except GroupSizeError as error:
        raise SettingsError(f"{job.ir.xml}: {explain_group(recipe, job.in_mode(recipe))}") from error
    target = folder / Path(job.ir.key).parent
    target.mkdir(parents=True, exist_ok=True)
    write_anew(compressed, job.ir, target)
    return _Written([*notes, *warnings], layout)


def _adjusted(job: Job, recipe: Recipe) -> list[str]:
    """Layers that fallback "adjust" cannot fit."""
    misfits = Counter(layer.k for layer in job.in_mode(recipe) if adjusted_group(recipe, layer.k) is None)
    if not misfits or recipe.group_size_fallback != "adjust":
        return []
    lengths = ", ".join(f"K={k} ({counted(count, 'layer')})" for k, count in misfits.items())
    return [
        f"{job.ir.xml.name}: no group of {SMALLEST_ADJUSTED} or more fits {lengths}; those layers use the backup mode"
    ]


def _smooth(model: ov.Model, job: Job, strength: float, inputs: Sequence[Inputs]) -> str:
    """Smooth the model in place; which layers it reached, in words."""
    from ovpass.compression.smoothquant import smooth  # noqa: PLC0415 - brings OpenVINO along

    reached = set(smooth(model, strength, inputs))
    missed = Counter(layer.kind for layer in job.layers if layer.name not in reached)
    left = "; not " + ", ".join(f"{kind} ({count})" for kind, count in missed.items()) if missed else ""
    return f"{job.ir.xml.name}: smoothed {len(reached)} of {counted(len(job.layers), 'layer')}{left}"


def _describe(
    jobs: Sequence[Job],
    written: Sequence[_Written],
    folder: Path,
    destination: Path,
    recipe: Recipe,
    then: Settings | None,
) -> Compressed:
    """Look at what was written as any reader would. Targets are asked where a plugin is to do the quantizing."""
    models, sites = [], []
    for job, result in zip(jobs, written, strict=True):
        made = IrFile(folder / Path(job.ir.key).parent / job.ir.xml.name, job.ir.key)
        own = find_sites_in_file(made)
        names = {site.name for site in own}
        sites += own
        models.append(
            CompressedModel(
                key=job.ir.key,
                bytes_before=job.ir.bin.stat().st_size,
                bytes_after=made.bin.stat().st_size,
                ignored=tuple(layer.name for layer in job.ignored),
                left=tuple(layer.name for layer in job.kept if layer.name not in names),
                formats=Counter(map(_format, own)),
                layout=result.layout,
            )
        )
    native = then is None or then.lowering == "native"
    advice = ask_targets(sites) if native else ()
    further = notes_on(recipe, sites) if then is None else note_on_groups(sites, then)
    notes = [note for result in written for note in result.notes]
    return Compressed(destination, recipe, tuple(models), advice, (*notes, *further))


def _after(done: Compressed, applied: Transformed, jobs: Sequence[Job], origin: ModelSource) -> Compressed:
    """The same of what `transform` made of it; it can change weights, but hides from a reader what kind they are of."""
    models = []
    for model, job in zip(done.models, jobs, strict=True):
        xml = done.output / job.ir.key if origin.is_folder else done.output
        made = IrFile(xml, job.ir.key)
        plan = applied.plans.get(job.ir.key) or applied.plans[""]
        kinds = {decision.name: decision.kind for decision in plan.decisions}
        sites = [replace(site, kind=kinds.get(site.name, site.kind)) for site in find_sites_in_file(made)]
        models.append(replace(model, bytes_after=made.bin.stat().st_size, formats=Counter(map(_format, sites))))
    return replace(done, models=tuple(models), applied=applied)


def _format(site: CompressedMatMul) -> Format:
    return Format(
        kind=site.kind,
        weights=describe_weights(site),
        weight_type=site.weight_type,
        weight_group_size=site.weight_group_size,
        symmetric=site.symmetric,
        codebook=site.codebook,
    )
