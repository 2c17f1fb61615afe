"""docs/reference/other-tools.md names parameters that exist, all of NNCF's, and all that ovpass has of them."""

from __future__ import annotations

import inspect
import re

import nncf
import pytest

import ovpass
from ovpass.api.keywords import RecipeKeywords, SettingsKeywords
from ovpass.compression.modes import MODES, NNCF
from tests.docs.tables import codes, sections
from tests.documents import read

SECTIONS = sections(read("docs/reference/other-tools.md").text)
KEYWORDS = {"compress": RecipeKeywords.__annotations__.keys(), "apply": SettingsKeywords.__annotations__.keys()}


def named(column: int) -> set[str]:
    return {name for row in SECTIONS["nncf.compress_weights"].rows() for name in codes(row[column])}


def test_every_parameter_of_nncf_is_told() -> None:
    assert named(0) == inspect.signature(nncf.compress_weights).parameters.keys()


def test_every_keyword_of_compress_is_told() -> None:
    own = set(codes(SECTIONS["nncf.compress_weights"].text.rstrip().rpartition("\n\n")[2]))
    modes = {name for name, mode in MODES.items() if mode.engine != NNCF}
    assert (named(1) - {"model"}) | (own - modes) == KEYWORDS["compress"]
    assert own >= modes


@pytest.mark.parametrize("title", ["OVWeightQuantizationConfig", "torchao.quantize_"])
def test_calls_have_these_keywords(title: str) -> None:
    calls = [call for row in SECTIONS[title].rows() for cell in row[1:] for call in codes(cell) if "(" in call]
    assert calls
    for call in calls:
        verb, _, arguments = call.partition("(")
        assert hasattr(ovpass, verb)
        assert set(re.findall(r"(\w+)=", arguments)) <= KEYWORDS[verb]
    modes = re.findall(r'mode="(\w+)"', SECTIONS[title].text)
    assert set(modes) <= MODES.keys()
