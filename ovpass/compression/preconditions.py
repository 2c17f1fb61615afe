"""Checks that run before compression starts."""

from __future__ import annotations

from collections.abc import Sequence

from ovpass.compression.advice import explain_group
from ovpass.compression.calibration import Calibration
from ovpass.compression.group_compatibility import refuse_idle
from ovpass.compression.jobs import Job
from ovpass.compression.nncf_weights import read_codebook
from ovpass.compression.predicted_weights import expected_sites
from ovpass.compression.probe_layer import refuse_useless
from ovpass.compression.recipe import Recipe
from ovpass.errors import SettingsError
from ovpass.formats.vector_encoding import VectorEncoding
from ovpass.settings.settings import Settings
from ovpass.support.formatting import counted


def check_in_advance(recipe: Recipe, calibration: Calibration, then: Settings | None, jobs: Sequence[Job]) -> None:
    """Look at the recipe, the text and the settings for activations in the light of the layers.

    Raises:
        SettingsError: for what cannot be, and for what would do nothing.
    """
    if recipe.codebook is not None:
        read_codebook(recipe.codebook)
    _check_groups(recipe, jobs)
    _check_vectors(recipe, jobs)
    _check_text(recipe, calibration, jobs)
    if then is not None:
        refuse_useless(recipe, then)
        refuse_idle([site for job in jobs for site in expected_sites(recipe, job.layers, job.kept)], then)


def _check_groups(recipe: Recipe, jobs: Sequence[Job]) -> None:
    if recipe.weight_group is None or recipe.group_size_fallback != "error":
        return
    for job in jobs:
        layers = job.in_mode(recipe)
        if any(layer.k % recipe.weight_group for layer in layers):
            raise SettingsError(f"{job.ir.xml}: {explain_group(recipe, layers)}")


def _check_vectors(recipe: Recipe, jobs: Sequence[Job]) -> None:
    if not isinstance(recipe.encoding, VectorEncoding):
        return
    length = recipe.encoding.vector_length
    for job in jobs:
        if ragged := [layer for layer in job.in_mode(recipe) if layer.k % length]:
            lengths = ", ".join(map(str, sorted({layer.k for layer in ragged})))
            layers = f"{counted(len(ragged), 'layer')}, such as {ragged[0].name}"
            raise SettingsError(
                f"{job.ir.xml}: vectors of {length} do not divide K={lengths} ({layers}); use a shorter vector-length, "
                "or ignore such layers"
            )


def _check_text(recipe: Recipe, calibration: Calibration, jobs: Sequence[Job]) -> None:
    if calibration.text is not None and not recipe.can_use_text:
        raise SettingsError(
            f"text {calibration.text}: mode {recipe.mode} alone does not use activations; add scale-estimation, "
            "awq, gptq, lora-correction, smooth or a ratio, or leave it out"
        )
    looks = recipe.needs_text or calibration.text is not None
    if calibration.tokenizer is not None and not looks:
        raise SettingsError(f"tokenizer {calibration.tokenizer}: no option uses a calibration text; leave it out")
    if looks:
        calibration.check_enough(recipe.weight_group or min(layer.k for job in jobs for layer in job.kept))
