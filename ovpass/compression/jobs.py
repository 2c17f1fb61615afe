"""The models of a source that have weights to compress."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ovpass.compression.predicted_weights import in_mode
from ovpass.compression.recipe import Recipe
from ovpass.conversion.linear_layers import LinearLayer, find_linear_layers, pick
from ovpass.errors import ModelError, SettingsError
from ovpass.ir.files import IrFile, ModelSource
from ovpass.sites.files import find_sites_in_file
from ovpass.support.formatting import counted


@dataclass(frozen=True)
class Job:
    """A model and its layers in floating point; `ignored` are those the recipe leaves out."""

    ir: IrFile
    layers: Sequence[LinearLayer]
    ignored: Sequence[LinearLayer]

    @property
    def kept(self) -> list[LinearLayer]:
        """The layers that are compressed."""
        names = {layer.name for layer in self.ignored}
        return [layer for layer in self.layers if layer.name not in names]

    def in_mode(self, recipe: Recipe) -> list[LinearLayer]:
        """Those of them that get the recipe's own mode."""
        return in_mode(recipe, self.layers, self.kept)


def find_jobs(source: ModelSource, recipe: Recipe) -> list[Job]:
    """The models with something to compress, none of which may be compressed already.

    Raises:
        ModelError: if there is none, or one has compressed weights.
        SettingsError: for patterns that pick nothing, and where nothing is left.
    """
    found = []
    for ir in source.models:
        document = ir.document()
        if sites := find_sites_in_file(ir, document):
            have = counted(len(sites), "MatMul has", "MatMuls have")
            raise ModelError(
                f"{ir.xml}: {have} compressed weights already ({sites[0].name}: {sites[0].weight_type}); "
                "start from the floating-point model"
            )
        with ir.complete():
            layers = find_linear_layers(document.graph)
        if layers:
            found.append((ir, layers))
    if not found:
        raise ModelError(f"{source.root}: has no MatMul with constant floating-point weights; nothing to compress")
    ignored = {id(layer) for layer in pick([layer for _, layers in found for layer in layers], recipe.ignore)}
    jobs = [Job(ir, layers, [layer for layer in layers if id(layer) in ignored]) for ir, layers in found]
    jobs = [job for job in jobs if job.kept]
    if not jobs:
        raise SettingsError(f"ignore {', '.join(recipe.ignore)}: leaves no layer to compress")
    return jobs
