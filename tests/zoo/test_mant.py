"""M-ANT weights in real exports: found as what they are, in the places that they have, and left alone by strip."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest

import ovpass
from ovpass.formats import FORMATS
from ovpass.formats.base import ChainForm
from ovpass.formats.mant_encoding import NAME, mant
from ovpass.ir.constant_folding import evaluate
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.transformation.in_memory import strip
from tests.passes.helpers import structure
from tests.zoo.exports import Export, core, exports

GROUP = 16
CHOSEN = ("bloom", "gemma3", "mixtral", "qwen2-vl", "whisper")
EACH = pytest.mark.parametrize(
    "export", [export for export in exports() if export.name in CHOSEN], ids=lambda export: export.key
)


def in_mant(export: Export) -> ov.Model:
    """The export with each weight of its MatMuls in M-ANT, those in bodies and of other lengths left as they are."""
    model = core().read_model(export.path)
    for site in find_compressed_matmuls(model):
        if not site.in_body and site.k % GROUP == 0:
            rewrite(site)
    model.validate_nodes_and_infer_types()
    return model


def rewrite(site: CompressedMatMul) -> None:
    port = site.matmul.input(site.weights_input)
    source = port.get_source_output()
    attributes = site.matmul.get_attributes()
    transposed = not attributes["transpose_b"] if site.weights_input else attributes["transpose_a"]
    values = np.asarray(evaluate(source), np.float32)
    encoded = FORMATS[NAME].encode(values.swapaxes(-1, -2) if transposed else values, mant(4, GROUP))
    name = f"{site.name}/weights"
    form = ChainForm(name, f"{name}/", "f32", source.get_element_type().to_string(), transposed)
    port.replace_source_output(FORMATS[NAME].write(encoded, form))


@pytest.mark.slow
@EACH
def test_sites_are_the_same_in_m_ant(export: Export) -> None:
    """Names, kinds and layers come from what is around the weights; experts share one constant."""
    before = find_compressed_matmuls(core().read_model(export.path))
    after = find_compressed_matmuls(in_mant(export))
    assert [(s.name, s.kind, s.layer, s.k, s.n) for s in after] == [(s.name, s.kind, s.layer, s.k, s.n) for s in before]
    assert {site.format for site in after if site.k % GROUP == 0 and not site.in_body} == {NAME}
    assert {site.weight_group_size for site in after if site.format == NAME} <= {GROUP, None}


@pytest.mark.slow
@EACH
def test_strip_leaves_m_ant_weights_as_they_are(export: Export) -> None:
    model = in_mant(export)
    settings = ovpass.Settings(lowering="emulate", group_size=GROUP, threshold=0)
    changed = ovpass.apply(model, ovpass.make_plan(model, settings))
    assert structure(changed) != structure(model)
    assert structure(strip(changed)) == structure(model)
