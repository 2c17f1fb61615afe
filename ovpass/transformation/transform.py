"""Transform a model file or folder from end to end."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ovpass.errors import ModelError
from ovpass.ir.constants import ConstantLocation
from ovpass.ir.document import IrDocument
from ovpass.ir.files import IrFile, ModelSource, open_source
from ovpass.ir.graph import Output
from ovpass.ir.metadata import Metadata, ModelMetadata
from ovpass.ir.note import read_note
from ovpass.ir.original_weights import OriginalWeights, read_original_weights, record_original_weights
from ovpass.lowerings.pipeline import passes_for
from ovpass.lowerings.planner import refuse_crashes_of
from ovpass.passes.base import MetadataPass, Pass, PassResult
from ovpass.passes.manager import PassManager, run_on_metadata
from ovpass.planning.plan import Plan
from ovpass.planning.recorded_plan import KERNELS, recorded_plan
from ovpass.settings.settings import Settings
from ovpass.sites.inserted_ops import bypasses
from ovpass.support.atomic_output import place, publish, staging
from ovpass.support.garbage import collection_paused
from ovpass.support.progress import Progress
from ovpass.transformation.carrying import carry_along, check_carried
from ovpass.transformation.destination import check_destination
from ovpass.transformation.loading import check_plans, load, plan_loaded
from ovpass.transformation.publishing import publish_single
from ovpass.transformation.result import Transformed
from ovpass.transformation.run_notes import FILE_NAME, RunNotes

_EMULATE = "emulate"

if TYPE_CHECKING:
    import openvino as ov


@collection_paused()
def transform(
    source: Path | str | ov.Model,
    output: Path | str,
    settings: Settings | None = None,
    *,
    plans: Mapping[str, Plan] | Plan | None = None,
    overwrite: bool = False,
    copy_weights: bool = False,
    allow_crash: bool = False,
    progress: Progress = lambda _: None,
) -> Transformed:
    """Apply settings or plans to an .xml, a model folder, or a model in memory, and write the result.

    The output has the form of the source; a model in memory becomes an .xml. Unchanged files are carried along.
    Unchanged weights are hard-linked if the file system allows it, unless `copy_weights` is set. The weights of a model
    in memory are written without conversion to f16. With `allow_crash`, sites that are known to end the plugin's
    process are written all the same. `apply` with `output` does the same with keywords.

    Raises:
        OvpassError: a subclass, for an invalid model, setting, plan or path. Then nothing is written.
    """
    plans = {"": plans} if isinstance(plans, Plan) else plans
    if not isinstance(source, (str, Path)):
        from ovpass.transformation.in_memory import transform_model  # noqa: PLC0415 - brings OpenVINO along

        return transform_model(
            source, Path(output), settings, plans, overwrite=overwrite, allow_crash=allow_crash, progress=progress
        )
    origin = open_source(source)
    destination = check_destination(origin, Path(output), overwrite)
    check_carried(origin)
    progress("reading")
    models = load(origin)
    if plans is None:
        plans = plan_loaded(models, settings or Settings())
    else:
        check_plans(plans, models)
    if not allow_crash:
        for loaded in models:
            refuse_crashes_of(plans[loaded.key], loaded.sites)
    jobs = [_Job(loaded.key, loaded.ir, loaded.document, passes_for(plans[loaded.key])) for loaded in models]
    run = RunNotes.of(plans.values())
    results, weights = _write(origin, destination, jobs, run, copy_weights, progress)
    return Transformed(destination, plans, results, weights, run)


@collection_paused()
def strip_source(
    source: Path | str,
    output: Path | str,
    *,
    overwrite: bool = False,
    copy_weights: bool = False,
    progress: Progress = lambda _: None,
) -> Transformed:
    """Undo `transform` on an .xml or a folder.

    Raises:
        OvpassError: a subclass, for an invalid model or path, and for re-quantized weights.
    """
    origin = open_source(source)
    destination = check_destination(origin, Path(output), overwrite)
    check_carried(origin)
    progress("reading")
    from ovpass.passes.strip import Strip, strippable  # noqa: PLC0415 - brings OpenVINO along

    documents = [(ir, ir.document()) for ir in origin.models]
    changed = [(ir, document) for ir, document in documents if read_note(document.metadata) is not None]
    if not changed:
        raise ModelError(f"{origin.root}: ovpass has not changed this model; nothing to strip")
    jobs = []
    for ir, document in changed:
        strippable(document.metadata, str(ir.xml))
        plan = recorded_plan(document.metadata)  # a damaged one is refused here, where its file has a name
        key = "" if len(changed) == 1 else ir.key
        if plan is not None and plan.settings.lowering == _EMULATE:
            # OpenVINO takes 5 KB for every node: quantizers are most of a model, and nothing else was changed.
            with ir.complete():
                quantizers, instead = bypasses(document.graph)
            jobs.append(_Job(key, ir, document, [Strip(len(quantizers))], quantizers, instead))
        else:
            jobs.append(_Job(key, ir, document, [Strip()]))
    results, weights = _write(origin, destination, jobs, RunNotes(), copy_weights, progress)
    return Transformed(destination, {}, results, weights)


@dataclass(frozen=True)
class _Job:
    """One model and what is done to it; `key` as in Loaded. Ops to be `left_out` are not even read."""

    key: str
    ir: IrFile
    document: IrDocument
    passes: Sequence[Pass]
    left_out: Collection[int] = ()
    instead: Mapping[Output, Output] = field(default_factory=dict)

    def read(self, folder: Path) -> ov.Model:
        """The model, without what is left out; `folder` is for a file of a moment."""
        if not self.left_out:
            return self.ir.read()
        xml = folder / f"{self.ir.xml.name}.reduced"
        self.document.write_without(xml, self.left_out, self.instead)
        try:
            return self.ir.read(xml)
        finally:
            xml.unlink()


def _write(
    source: ModelSource,
    destination: Path,
    jobs: Sequence[_Job],
    run: RunNotes,
    copy_weights: bool,
    progress: Progress,
) -> tuple[dict[str, tuple[PassResult, ...]], dict[str, str]]:
    """Everything goes into a folder beside the destination first, and then appears there."""
    results: dict[str, tuple[PassResult, ...]] = {}
    weights: dict[str, str] = {}
    with staging(destination) as staged:
        folder = staged / "output"
        folder.mkdir()
        for job in jobs:
            target = folder / Path(job.ir.key).parent
            target.mkdir(parents=True, exist_ok=True)
            progress(f"rewriting {job.ir.xml.name}")
            results[job.key], weights[job.key] = _carry_out(job, target, copy_weights)
            for path in (job.ir.xml, job.ir.bin):
                shutil.copymode(path, target / path.name)
        if source.is_folder:
            carry_along(source, [job.ir for job in jobs], folder, copy_weights=copy_weights)
            run.write(folder / FILE_NAME)
            publish(folder, destination)
        else:
            run.write(folder / FILE_NAME)
            publish_single(jobs[0].ir, folder, destination)
    return results, weights


def _carry_out(job: _Job, folder: Path, copy_weights: bool) -> tuple[tuple[PassResult, ...], str]:
    """Run the passes and write the model; where they change no node, the text of the IR is all that is needed."""
    metadata_passes = [step for step in job.passes if isinstance(step, MetadataPass)]
    if len(metadata_passes) < len(job.passes):
        return _carry_out_on_graph(job, folder, copy_weights)
    results = run_on_metadata(metadata_passes, job.document.metadata)
    _note_weights(job.document.metadata, job.ir, {})
    job.document.write(folder / job.ir.xml.name)
    return results, place(job.ir.bin, folder / job.ir.bin.name, copy=copy_weights)


def _carry_out_on_graph(job: _Job, folder: Path, copy_weights: bool) -> tuple[tuple[PassResult, ...], str]:
    from ovpass.ir.writer import original_constants, write_anew, write_beside_weights  # noqa: PLC0415
    from ovpass.passes.canonicalize import CANONICALIZED  # noqa: PLC0415
    from ovpass.passes.chains import UNDO  # noqa: PLC0415
    from ovpass.passes.requantize import REQUANTIZED  # noqa: PLC0415

    before = read_note(job.document.metadata) or {}
    original = read_original_weights(job.document.metadata)
    outcome = PassManager(job.passes).run(job.read(folder), in_place=True)
    metadata = ModelMetadata(outcome.model)
    note = read_note(metadata) or {}
    # Weights that are stored in another form would otherwise be there twice.
    if note.get(REQUANTIZED) or note.get(CANONICALIZED) or note.get(KERNELS) or before.get(KERNELS):
        return outcome.results, write_anew(outcome.model, job.ir, folder).how
    if note:
        replaced = [entry["name"] for entry in note.get(UNDO, {}).values()]
        _note_weights(metadata, job.ir, original_constants(job.ir, replaced))
    written = write_beside_weights(outcome.model, job.ir, folder, copy_weights=copy_weights, original=original)
    return outcome.results, written.how


def _note_weights(metadata: Metadata, ir: IrFile, slots: Mapping[str, ConstantLocation]) -> None:
    record_original_weights(metadata, OriginalWeights(slots, ir.bin.stat().st_size))
