"""Files and folders in, files and folders out: the main job from end to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import openvino as ov

from ovpass.errors import ModelError, OutputError, PlanError
from ovpass.ir.files import IrFile, ModelSource, open_source
from ovpass.ir.note import extend_note, read_note
from ovpass.ir.output import place, publish, staging
from ovpass.ir.slots import Slot
from ovpass.ir.writer import EarlierWeights, Written, earlier_weights, write_anew, write_beside_weights
from ovpass.passes import Pass, PassManager, PassResult, Strip, passes_for
from ovpass.passes.chains import UNDO
from ovpass.passes.requantize import REQUANTIZED
from ovpass.plan import Plan, total_counts
from ovpass.planning import check_rules, plan_sites, refuse_processed
from ovpass.run_notes import FILE_NAME, RunNotes
from ovpass.settings import Settings
from ovpass.sites import CompressedMatMul, find_compressed_matmuls

Progress = Callable[[str], None]
_EARLIER = "weights"


@dataclass(frozen=True)
class Transformed:
    """What was written where. `plans` and `results` are by model, "" where there is one.

    `weights` tells what became of each .bin: "linked", "copied", "extended" (new constants at its end) or
    "rewritten".
    """

    output: Path
    plans: Mapping[str, Plan] = field(default_factory=dict)
    results: Mapping[str, tuple[PassResult, ...]] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    run: RunNotes = field(default_factory=RunNotes)

    @property
    def counts(self) -> dict[str, int]:
        """How many sites are quantized, exempt and skipped, over all models."""
        return total_counts(self.plans.values())


@dataclass(frozen=True)
class Loaded:
    """A model with sites; `key` is "" where it is the only one of its source."""

    key: str
    ir: IrFile
    model: ov.Model
    sites: Sequence[CompressedMatMul]


def load(source: ModelSource) -> list[Loaded]:
    """Read the models of a source that have sites.

    Raises:
        ModelError: where one cannot be read, or none has a site.
    """
    found = [(ir, model, find_compressed_matmuls(model)) for ir in source.models for model in [ir.read()]]
    with_sites = [entry for entry in found if entry[2]]
    if not with_sites:
        raise ModelError(
            f"{source.root}: has no MatMul with compressed weights; compress them first, with NNCF for example"
        )
    sole = len(with_sites) == 1
    return [Loaded("" if sole else ir.key, ir, model, sites) for ir, model, sites in with_sites]


def plan_loaded(models: Sequence[Loaded], settings: Settings) -> dict[str, Plan]:
    """Plan each model; every rule must pick a site in at least one of them.

    Raises:
        OvpassError: as `make_plan`.
    """
    for loaded in models:
        refuse_processed(loaded.model)
    check_rules([site for loaded in models for site in loaded.sites], settings)
    return {loaded.key: plan_sites(loaded.sites, settings, loaded.model) for loaded in models}


def transform(
    source: Path | str,
    output: Path | str,
    settings: Settings | None = None,
    *,
    plans: Mapping[str, Plan] | Plan | None = None,
    overwrite: bool = False,
    copy_weights: bool = False,
    progress: Progress = lambda _: None,
) -> Transformed:
    """Apply settings, or finished plans, to an .xml or a model folder.

    The output has the source's form; files that are not changed are carried along, weights as hard links where the
    file system allows and `copy_weights` does not forbid it.

    Raises:
        OvpassError: its children for a bad model, setting, plan or place; then nothing is written.
    """
    origin = open_source(source)
    destination = _check_output(origin, Path(output), overwrite)
    progress("reading")
    models = load(origin)
    if plans is None:
        plans = plan_loaded(models, settings or Settings())
    else:
        plans = {"": plans} if isinstance(plans, Plan) else plans
        _check_plans(plans, models)
    jobs = [_Job(loaded.ir, loaded.model, passes_for(plans[loaded.key]), loaded.key) for loaded in models]
    run = RunNotes.of(plans.values())
    results, weights = _write(origin, destination, jobs, run, copy_weights, progress)
    return Transformed(destination, plans, results, weights, run)


def strip_source(
    source: Path | str,
    output: Path | str,
    *,
    overwrite: bool = False,
    copy_weights: bool = False,
    progress: Progress = lambda _: None,
) -> Transformed:
    """Undo `transform`: an .xml or a folder without anything that ovpass added.

    Raises:
        OvpassError: its children for a bad model or place, and for weights that were re-quantized.
    """
    origin = open_source(source)
    destination = _check_output(origin, Path(output), overwrite)
    progress("reading")
    models = [(ir, ir.read()) for ir in origin.models]
    changed = [(ir, model, note) for ir, model in models if (note := read_note(model)) is not None]
    if not changed:
        raise ModelError(f"{origin.root}: ovpass has not changed this model; nothing to strip")
    jobs = [_Job(ir, model, [Strip()], ir.key, _read_earlier(note)) for ir, model, note in changed]
    results, weights = _write(origin, destination, jobs, RunNotes(), copy_weights, progress)
    return Transformed(destination, {}, results, weights)


@dataclass(frozen=True)
class _Job:
    """One model and what is done to it; `earlier` is known when extended weights are cut back."""

    ir: IrFile
    model: ov.Model
    passes: Sequence[Pass]
    key: str
    earlier: EarlierWeights | None = None


def _check_plans(plans: Mapping[str, Plan], models: Sequence[Loaded]) -> None:
    keys = {loaded.key for loaded in models}
    if keys != set(plans):
        raise PlanError(f"the plan is for the models {sorted(plans)}, these are {sorted(keys)}")
    for loaded in models:
        refuse_processed(loaded.model)
        plans[loaded.key].check_fits(loaded.sites)


def _check_output(source: ModelSource, output: Path, overwrite: bool) -> Path:
    """Refuse an output that would harm the input or what is already there."""
    if source.is_folder == (output.suffix == ".xml"):
        form = "a folder" if source.is_folder else "an .xml"
        raise OutputError(f"{output}: the input is {form}, so the output must be one too")
    target, root = output.resolve(), source.root.resolve()
    nested = source.is_folder and (root in target.parents or target in root.parents)
    inputs = {path.resolve() for ir in source.models for path in (ir.xml, ir.bin)}
    if target == root or nested or inputs & {target, target.with_suffix(".bin")}:
        raise OutputError(f"{output}: is, holds or lies in the input; write to another place")
    parts = [output] if source.is_folder else [output, output.with_suffix(".bin")]
    for path in parts:
        if path.exists() and not overwrite and not (path.is_dir() and not any(path.iterdir())):
            raise OutputError(f"{path}: exists already; choose another place or allow overwriting (--overwrite)")
    return output


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
            progress(f"rewriting {job.ir.xml.name}")
            outcome = PassManager(job.passes).run(job.model, in_place=True)
            results[job.key] = outcome.results
            progress(f"writing {job.ir.xml.name}")
            target = folder / Path(job.ir.key).parent
            target.mkdir(parents=True, exist_ok=True)
            weights[job.key] = _write_one(job, outcome.model, target, copy_weights).how
        if source.is_folder:
            _carry_along(source, [job.ir for job in jobs], folder, copy_weights)
            run.write(folder / FILE_NAME)
            publish(folder, destination)
        else:
            _publish_pair(jobs[0].ir, folder, destination)
            run.write(destination.with_name(f"{destination.stem}.{FILE_NAME}"))
    return results, weights


def _write_one(job: _Job, model: ov.Model, folder: Path, copy_weights: bool) -> Written:
    note = read_note(model) or {}
    if note.get(REQUANTIZED):
        return write_anew(model, job.ir, folder)
    if note.get(UNDO):
        replaced = [entry["name"] for entry in note[UNDO].values()]
        extend_note(model, _EARLIER, asdict(earlier_weights(job.ir, replaced)))
    elif note:
        extend_note(model, _EARLIER, asdict(earlier_weights(job.ir, [])))
    return write_beside_weights(model, job.ir, folder, copy_weights=copy_weights, earlier=job.earlier)


def _read_earlier(note: Mapping[str, Any]) -> EarlierWeights | None:
    if _EARLIER not in note:
        return None
    slots = {
        name: Slot(slot["offset"], slot["size"], slot["element_type"], tuple(slot["shape"]))
        for name, slot in note[_EARLIER]["slots"].items()
    }
    return EarlierWeights(slots, note[_EARLIER]["size"])


def _carry_along(source: ModelSource, rewritten: Sequence[IrFile], folder: Path, copy_weights: bool) -> None:
    """Tokenizers, configurations, models without sites: linked when large and never changed, copied otherwise."""
    done = {path for ir in rewritten for path in (ir.xml, ir.bin)}
    for path in source.files():
        if path in done or path.name == FILE_NAME:
            continue
        target = folder / path.relative_to(source.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        place(path, target, copy=copy_weights or path.suffix != ".bin")


def _publish_pair(ir: IrFile, folder: Path, destination: Path) -> None:
    """The weights first: an .xml never appears without them."""
    publish(folder / ir.bin.name, destination.with_suffix(".bin"))
    publish(folder / ir.xml.name, destination)
