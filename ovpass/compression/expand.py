"""Write a model's M-ANT weights as 8-bit integers in groups: files and folders in, files and folders out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovpass.errors import ModelError
from ovpass.formats.mant_encoding import NAME
from ovpass.ir.files import IrFile, ModelSource, open_source
from ovpass.planning.recorded_plan import refuse_processed
from ovpass.sites.files import find_sites_in_file
from ovpass.support.atomic_output import publish, staging
from ovpass.support.progress import Progress
from ovpass.transformation.carrying import carry_along, check_carried
from ovpass.transformation.destination import check_destination
from ovpass.transformation.publishing import publish_single


@dataclass(frozen=True)
class ExpandedModel:
    """One model: how many sites, the share of groups that stay the same, and the mean relative error of the weights.

    Sizes are those of the .bin in bytes.
    """

    key: str
    sites: int
    exact: float
    error: float
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True)
class Expanded:
    """The output, and what became of each model that has M-ANT weights."""

    output: Path
    models: tuple[ExpandedModel, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        models = [{("model" if name == "key" else name): value for name, value in vars(m).items()} for m in self.models]
        return {"output": str(self.output), "models": models}


def expand_source(
    source: Path | str, output: Path | str, *, overwrite: bool = False, progress: Progress = lambda _: None
) -> Expanded:
    """Expand the weights of an .xml, or of all models in a folder. The output has the form of the source.

    Raises:
        OvpassError: for an invalid model or path. Then nothing is written.
        ModelError: for a source without M-ANT weights, and a model that carries a plan.
    """
    origin = open_source(source)
    destination = check_destination(origin, Path(output), overwrite)
    check_carried(origin)
    progress("reading")
    jobs = _jobs(origin)
    with staging(destination) as staged:
        folder = staged / "output"
        folder.mkdir()
        models = tuple(_expand(ir, sites, folder, progress) for ir, sites in jobs)
        if origin.is_folder:
            carry_along(origin, [ir for ir, _ in jobs], folder, copy_weights=False)
            publish(folder, destination)
        else:
            publish_single(jobs[0][0], folder, destination)
    return Expanded(destination, models)


def _jobs(origin: ModelSource) -> list[tuple[IrFile, tuple[str, ...]]]:
    found = []
    for ir in origin.models:
        document = ir.document()
        if names := tuple(site.name for site in find_sites_in_file(ir, document) if site.format == NAME):
            refuse_processed(document.metadata, str(ir.xml))
            found.append((ir, names))
    if not found:
        raise ModelError(
            f"{origin.root}: has no M-ANT weights to expand; 'ovpass compress --mode mant4' writes such a model"
        )
    return found


def _expand(ir: IrFile, sites: Sequence[str], folder: Path, progress: Progress) -> ExpandedModel:
    from ovpass.ir.writer import write_anew  # noqa: PLC0415 - these bring OpenVINO along
    from ovpass.passes import ExpandWeights, PassManager  # noqa: PLC0415

    progress(f"expanding {ir.xml.name}")
    step = ExpandWeights(tuple(sites))
    model = PassManager([step]).run(ir.read(), in_place=True).model
    target = folder / Path(ir.key).parent
    target.mkdir(parents=True, exist_ok=True)
    written = write_anew(model, ir, target)
    found = step.found.values()
    return ExpandedModel(
        ir.key,
        len(sites),
        sum(each.exact for each in found) / len(sites),
        sum(each.error for each in found) / len(sites),
        ir.bin.stat().st_size,
        written.weights.stat().st_size,
    )
