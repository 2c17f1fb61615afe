"""Predict the weight formats that a recipe produces, before compression starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ovpass.compression.probe_layer import probe_site
from ovpass.compression.recipe import Recipe
from ovpass.conversion.linear_layers import LinearLayer
from ovpass.sites import CompressedMatMul

SMALLEST_ADJUSTED = 32
"""NNCF adjusts to no smaller group (advanced_parameters.py, min_adjusted_group_size)."""
_BACKUP = "int8_asym"
"""NNCF's for integers."""


def in_mode(recipe: Recipe, layers: Sequence[LinearLayer], kept: Sequence[LinearLayer]) -> list[LinearLayer]:
    """Those of the `kept` ones that get the recipe's mode, or may with a ratio: not the last of all `layers`.

    NNCF leaves that to the backup mode, whatever its kind (algorithm.py, _get_ratio_defining_params).
    """
    whole = recipe.all_layers or not recipe.format.mixed
    return [layer for layer in kept if whole or layer is not layers[-1]]


def adjusted_group(recipe: Recipe, k: int) -> int | None:
    """The group with which fallback "adjust" fits K: the recipe's own, a power of two, or none that is large enough."""
    group = recipe.weight_group or k
    if k % group == 0:
        return group
    power = k & -k
    return power if power >= SMALLEST_ADJUSTED else None


def backup_recipe(recipe: Recipe) -> Recipe | None:
    """How layers are compressed that do not get the recipe's own mode; None for not at all."""
    return None if recipe.backup_mode == "none" else Recipe(recipe.backup_mode or _BACKUP)


def expected_sites(
    recipe: Recipe, layers: Sequence[LinearLayer], kept: Sequence[LinearLayer]
) -> list[CompressedMatMul]:
    """Sites as the kept layers will be. Those that a ratio may leave to the backup mode are there in both forms."""
    own, chosen = probe_site(recipe), in_mode(recipe, layers, kept)
    found, rest = [], [layer for layer in kept if layer not in chosen]
    for layer in chosen:
        group = adjusted_group(recipe, layer.k)
        if group is not None:
            found.append(_site(own, layer, group if recipe.weight_group else None))
        elif recipe.group_size_fallback == "adjust":
            rest.append(layer)
    if recipe.ratio is not None and recipe.ratio < 1:
        rest += chosen
    if rest and (other := backup_recipe(recipe)):
        backup = probe_site(other)
        found += [_site(backup, layer, backup.weight_group_size) for layer in rest]
    return found


def _site(form: CompressedMatMul, layer: LinearLayer, group: int | None) -> CompressedMatMul:
    shared = group if group is not None and group < layer.k else None
    return replace(
        form,
        name=layer.name,
        kind=layer.kind,
        layer=layer.layer,
        k=layer.k,
        n=layer.n,
        weight_group_size=shared,
        zero_point_group_size=None if form.zero_point_group_size is None else shared,
        group_id=layer.name,
    )
