"""What is known of a format before a model is compressed to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.compression.modes import MODES, NNCF
from ovpass.compression.nncf_weights import compress_weights
from ovpass.compression.probe_layer import probe_site, refuse_useless
from ovpass.compression.recipe import Recipe
from ovpass.errors import SettingsError
from ovpass.settings.settings import Rule, Settings
from ovpass.sites import CompressedMatMul, find_compressed_matmuls

OF_NNCF = [name for name, mode in MODES.items() if mode.engine == NNCF]


def compressed_by_nncf(recipe: Recipe, n: int, k: int) -> CompressedMatMul:
    values = np.random.default_rng(1).standard_normal((n, k)).astype(np.float32)
    x = op.parameter(ov.PartialShape([-1, k]), np.float32, name="x")
    model = ov.Model([op.result(op.matmul(x, op.constant(values), False, True))], [x])
    whole = Recipe(recipe.mode, recipe.group_size, all_layers=recipe.format.mixed, codebook=recipe.codebook)
    inputs = [{"x": values}] if recipe.format.needs_text else None
    (site,) = find_compressed_matmuls(compress_weights(model, Path("one"), whole, [], inputs, bars=False)[0])
    return site


def form(site: CompressedMatMul) -> dict[str, Any]:
    """All that a site says of its weights."""
    fields = (
        "k n format weight_type weight_group_size symmetric zero_point zero_point_group_size codebook chain".split()
    )
    chain = site.weights
    operands = [(o.element_type, o.integer, o.groups, o.shape, o.direct) for o in (*chain.scales, *chain.zero_points)]
    own = {name: getattr(site, name) for name in fields}
    return {**own, "chain": chain.pattern, "operands": operands, "k_axes": chain.k_axes}


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "entries"), [*((mode, 16) for mode in OF_NNCF), ("codebook", 100)])
def test_the_probe_has_the_form_that_nncf_makes(mode: str, entries: int, tmp_path: Path) -> None:
    table = tmp_path / "table.npy"
    np.save(table, np.linspace(-1, 1, entries, dtype=np.float32))
    recipe = Recipe(mode, codebook=table if MODES[mode].needs_codebook else None)
    made = probe_site(recipe)
    assert form(made) == form(compressed_by_nncf(recipe, made.n, made.k))


@pytest.mark.parametrize(
    ("recipe", "stored", "group"),
    [
        (Recipe("int8_sym"), "i8", None),
        (Recipe("int4_asym", group_size=48, gptq=True, ratio=0.5, ignore=("layer:0",)), "u4", 48),
        (Recipe("mxfp4"), "f4e2m1", 32),
    ],
)
def test_the_probe_has_the_form_of_the_layers_to_come(recipe: Recipe, stored: str, group: int | None) -> None:
    site = probe_site(recipe)
    assert (site.weight_type, site.weight_group_size) == (stored, group)


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        (Recipe("nf4", group_size=32), Settings(lowering="emulate")),
        (Recipe("int4_sym", group_size=32), Settings(lowering="int8", requantize=True)),
        # rules can leave all 4-bit layers out, and the head is in 8 bit
        (Recipe("int4_sym", group_size=32), Settings(lowering="int8", rules=(Rule("kind:mlp", exempt=True),))),
        # 32 does not go into 48, the groups of the weights; 16 does
        (Recipe("int4_sym", group_size=48), Settings(target="cpu")),
        (Recipe("int2_sym", group_size=32), Settings()),
    ],
)
def test_settings_with_some_use_are_left_to_the_plan(recipe: Recipe, settings: Settings) -> None:
    refuse_useless(recipe, settings)


def test_the_way_out_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(target="gpu-no-xmx")
    with pytest.raises(SettingsError) as caught:
        refuse_useless(Recipe("int2_sym", group_size=32), settings)
    named = str(caught.value).partition("; use ")[2].partition(",")[0].split(" or ")
    assert named
    for mode in named:
        refuse_useless(Recipe(mode), settings)
    assert capsys.readouterr().out == ""
