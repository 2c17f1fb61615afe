"""Switches: off is the plain model and on the emulate lowering, both bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.errors import ModelError
from ovpass.evaluation.comparison import compare_logits
from ovpass.evaluation.preparation import CLEAN, Prepared
from ovpass.evaluation.runner import Runner
from ovpass.evaluation.windows import Window
from ovpass.ir.files import open_source
from ovpass.sites import find_compressed_matmuls
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.reference_arithmetic import Array
from ovpass.tuning.switched_model import Cost, SwitchedModel
from ovpass.tuning.switches import EXACT, INPUT, add_switches, group_sizes, switchable
from tests.builders import if_model, linear_model, llama_model, loop_model, pair_model, shared_model
from tests.builders.chains import weights
from tests.builders.layers import activation, finish, project
from tests.cli.command import LLAMA
from tests.passes.helpers import activations, compiled, outputs, same, transformed

Forms = dict[str, Any]
FORMS: dict[str, tuple[Forms, tuple[int, ...]]] = {
    "rank 2": ({"rank": 2}, (9, 512)),
    "rank 3": ({"rank": 3}, (2, 9, 512)),
    "rank 4": ({"rank": 4}, (1, 2, 9, 512)),
    "f16": ({"fmt": "p_i4_g128_no_outconv_f16"}, (2, 9, 512)),
    "dynamic K": ({"dynamic_k": True}, (2, 9, 512)),
    "weights first": ({"weights_on_input0": True}, (2, 9, 512)),
    "static": ({"static_tokens": 9}, (1, 9, 512)),
}


class Switched:
    """A model of input "x" with switches, compiled."""

    def __init__(self, model: ov.Model, *, symmetric: bool = True, half: bool = True) -> None:
        own = model.clone()
        self.sites = find_compressed_matmuls(own)
        add_switches(own, self.sites, symmetric=symmetric, half=half)
        self._model = compiled(own, 0)

    def __call__(self, x: Array, group: int, *on: str) -> list[Array]:
        """The outputs with a group size at the sites named, all where none is."""
        sizes = group_sizes(self.sites, {site.name: group for site in self.sites if not on or site.name in on})
        for _ in range(2):  # the first inference after a shape has grown is wrong on the CPU plugin
            found = outputs(self._model, {"x": x, INPUT: sizes})
        return found


def emulated(model: ov.Model, x: Array, group: int, *, symmetric: bool = True, half: bool = True) -> list[Array]:
    target = "gpu-xmx" if half else "cpu"
    options = {"lowering": "emulate", "target": target, "threshold": 0, "group_size": group, "symmetric": symmetric}
    return outputs(transformed(model, **options), {"x": x}, 0)


def window(tokens: int, seed: int = 0) -> Window:
    return Window(np.random.default_rng(seed).integers(0, 320, tokens), tokens - 1)


@pytest.mark.slow
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_off_is_plain_and_on_is_emulated(form: str, half: bool, symmetric: bool) -> None:
    options, shape = FORMS[form]
    model = linear_model(**options)
    x = activations(*shape, kind=model.input("x").get_element_type().to_dtype())
    switched = Switched(model, symmetric=symmetric, half=half)
    assert same(switched(x, EXACT), outputs(model, {"x": x}, 0))
    for group in (PER_TOKEN, 32):
        on = switched(x, group)
        assert same(on, emulated(model, x, group, symmetric=symmetric, half=half))
        assert not same(on, switched(x, EXACT))


def test_each_site_has_a_switch_of_its_own() -> None:
    model = pair_model()
    x = activations(2, 9, 512)
    switched = Switched(model)
    exact, on = switched(x, EXACT), switched(x, 32)
    for number in (0, 1):
        mixed = switched(x, 32, f"linear_{number}")
        assert same(mixed[number : number + 1], on[number : number + 1])
        assert same(mixed[1 - number : 2 - number], exact[1 - number : 2 - number])


def test_sizes_are_in_the_order_of_the_sites_and_no_longer_than_k() -> None:
    sites = find_compressed_matmuls(shared_model(("w_i8_sym_ch",) * 3, (64, 64, 64)))
    names = [site.name for site in sites]
    assert group_sizes(sites, {names[2]: PER_TOKEN, names[0]: 64}).tolist() == [64, EXACT, 512]


# Which sites can have one ---------------------------------------------------------------------------------------------


def reasons(model: ov.Model) -> list[str | None]:
    return [switchable(site) for site in find_compressed_matmuls(model)]


def test_all_sites_of_a_decoder_can() -> None:
    assert reasons(llama_model()) == [None] * 15
    assert reasons(llama_model(bare_names=True)) == [None] * 15


@pytest.mark.parametrize("model", [if_model(), loop_model()], ids=["if", "loop"])
def test_sites_in_bodies_cannot(model: ov.Model) -> None:
    assert all("body" in (reason or "") for reason in reasons(model))


def test_a_transposed_activation_cannot() -> None:
    (reason,) = reasons(linear_model(transpose_a=True))
    assert "transposed" in (reason or "")


def test_a_dynamic_rank_cannot() -> None:
    fmt = "w_i8_sym_ch"
    x = op.parameter(ov.PartialShape.dynamic(), np.float32, name="x")
    model = finish([project(x, weights(fmt, 64, 512), fmt, "linear")], [x], ["y"])
    (reason,) = reasons(model)
    assert "rank" in (reason or "")


def test_a_name_that_repeats_is_no_body() -> None:
    fmt = "w_i8_sym_ch"
    x = activation(fmt, 512)
    twice = [project(x, weights(fmt, 64, 512, seed), fmt, "block/linear") for seed in (0, 1)]
    model = finish(twice, [x], ["y", "z"])
    assert [site.name for site in find_compressed_matmuls(model)] == ["block/linear", "block/linear#2"]
    assert reasons(model) == [None, None]


# A language model -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_windows_of_any_length_and_in_any_order() -> None:
    """The CPU plugin's If is wrong on the first inference after a shape has grown; nothing of that may show."""
    (ir,) = open_source(LLAMA).models
    windows = [window(24), window(96, 1), window(40, 2), window(96, 3)]
    switched = SwitchedModel(ir, windows, symmetric=True, half=True)
    everything = {site.name: site.k for site in switched.sites}
    plain = Runner(Prepared(ir.read(), CLEAN, None, ""), "plain")
    changed = transformed(ir.read(), lowering="emulate", threshold=0)
    emulate = Runner(Prepared(changed, CLEAN, None, ""), "emulate")
    for own, found in zip(windows, switched.scores(everything, windows), strict=True):
        expected = compare_logits(plain.logits(own).copy(), emulate.logits(own), own)
        np.testing.assert_array_equal(found.kl, expected.kl)
        np.testing.assert_array_equal(found.reference_nll, expected.reference_nll)
    assert Cost.of(switched.scores({}, windows)).mean == 0


def test_predictions_of_a_window_are_not_taken_for_those_of_another() -> None:
    """Windows come and go during a search: what is kept of one must not be found for the next at its address."""
    (ir,) = open_source(LLAMA).models
    switched = SwitchedModel(ir, [window(64)], symmetric=True, half=True)
    assert [Cost.of(switched.scores({}, [window(64, seed)])).mean for seed in range(6)] == [0] * 6


def test_a_model_that_does_not_compile_is_named(tmp_path: Path) -> None:
    path = tmp_path / "linear.xml"
    ov.save_model(linear_model(), path, compress_to_fp16=False)
    (ir,) = open_source(path).models
    with pytest.raises(ModelError, match="linear"):
        SwitchedModel(ir, [window(24)], symmetric=True, half=True)
