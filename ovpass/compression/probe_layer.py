"""A one-layer model in the requested format, to check in advance what devices do with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ovpass.compression.advice import INTEGERS
from ovpass.compression.nncf_weights import read_codebook
from ovpass.compression.recipe import Recipe
from ovpass.errors import SettingsError
from ovpass.formats import FORMATS
from ovpass.formats.base import ChainForm, Encoding
from ovpass.planning.int8 import weights_obstacle
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.targets.fitting import GROUPS
from ovpass.targets.names import get_target

_FEATURES = 32


def refuse_useless(recipe: Recipe, settings: Settings) -> None:
    """Make sure that the settings have some use for weights of the recipe's mode.

    Raises:
        SettingsError: if the lowering quantizes activations for no such weights on the target, naming modes for
            which it does.
    """
    if obstacle := _obstacle(recipe, settings):
        others = [mode for mode in INTEGERS if mode != recipe.mode and not _obstacle(Recipe(mode), settings)]
        raise SettingsError(
            f"mode {recipe.mode}: lowering {settings.lowering} quantizes no activation for such weights on "
            f"{settings.target}: {obstacle}; use {' or '.join(others)}, or lowering emulate"
        )


def _obstacle(recipe: Recipe, settings: Settings) -> str | None:
    """Why no layer in this mode would be quantized, whatever its size, or None."""
    if settings.lowering == "native":
        site, target = probe_site(recipe), get_target(settings.target)
        verdicts = [target.verdict(site, group_size) for group_size in GROUPS]
        return None if any(verdict.eligible for verdict in verdicts) else verdicts[0].reason
    # Rules can leave such layers out and take the others; how, is seen when all of them are planned.
    if settings.lowering == "int8" and not settings.requantize and not settings.rules:
        return weights_obstacle(probe_site(recipe), get_target(settings.target))
    return None


def probe_site(recipe: Recipe) -> CompressedMatMul:
    """A layer of the recipe's mode and group size, the refinements left out: they change values, not the form."""
    import openvino as ov  # noqa: PLC0415
    from openvino import opset13 as op  # noqa: PLC0415

    k = 32 * (recipe.weight_group or 4)
    encoding = _encoding(recipe)
    known = FORMATS[encoding.format]
    values = np.random.default_rng(0).standard_normal((_FEATURES, k)).astype(np.float32)
    weights = known.write(known.encode(values, encoding), ChainForm("weight", "weight/"))
    activation = op.parameter(ov.PartialShape([-1, k]), np.float32, name="activation")
    product = op.matmul(activation, weights, transpose_a=False, transpose_b=True)
    (site,) = find_compressed_matmuls(ov.Model([op.result(product)], [activation]))
    return site


def _encoding(recipe: Recipe) -> Encoding:
    """What will be stored. Of a codebook of the user's its length is enough: it gives the type of the codes."""
    own = replace(recipe.encoding, group_size=recipe.weight_group)
    if recipe.codebook is None:
        return own
    count = len(read_codebook(recipe.codebook))
    return replace(own, element_type="u4" if count <= 16 else "u8", table=tuple(range(count)), table_type="f32")
