"""What is known of a format before a model is compressed to it."""

from __future__ import annotations

import pytest

from ovpass.compression.probe_layer import refuse_useless, specimen
from ovpass.compression.recipe import Recipe
from ovpass.errors import SettingsError
from ovpass.settings.settings import Rule, Settings


@pytest.mark.parametrize(
    ("recipe", "stored", "group"),
    [
        (Recipe("int8_sym"), "i8", None),
        (Recipe("int4_asym", group_size=48, gptq=True, ratio=0.5, ignore=("layer:0",)), "u4", 48),
        (Recipe("mxfp4"), "f4e2m1", 32),
    ],
)
def test_a_specimen_has_the_form_of_the_layers_to_come(recipe: Recipe, stored: str, group: int | None) -> None:
    site = specimen(recipe)
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
    settings = Settings(target="gpu")
    with pytest.raises(SettingsError) as caught:
        refuse_useless(Recipe("int2_sym", group_size=32), settings)
    named = str(caught.value).partition("; take ")[2].partition(",")[0].split(" or ")
    assert named
    for mode in named:
        refuse_useless(Recipe(mode), settings)
    assert capsys.readouterr().out == ""
