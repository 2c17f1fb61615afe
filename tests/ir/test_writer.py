"""What is written is what was changed in memory, and weights stay where they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.errors import OutputError
from ovpass.settings.settings import Rule, Settings
from ovpass.transformation.transform import strip_source, transform
from tests.builders import (
    finish,
    if_model,
    linear_model,
    llama_model,
    loop_model,
    matmul,
    number_nodes,
    swiglu_model,
    tensor_iterator_model,
    trio_model,
)
from tests.ir.files import constants, read, same_file, saved, weights, written_and_in_memory
from tests.passes.helpers import structure

EXEMPT = (Rule("re:.*", exempt=True),)
PLANS = {
    "native": Settings(group_size=64),
    "rank-4": Settings(rules=EXEMPT, exempt_with="rank-4"),
    "precise": Settings(rules=EXEMPT, exempt_with="precise"),
    "f16-zero-point": Settings(rules=EXEMPT, exempt_with="f16-zero-point"),
    "f16-weights": Settings(rules=EXEMPT, exempt_with="f16-weights"),
    "cap": Settings(group_size=256, rules=(Rule("re:.*", group_size=32),)),
    "int8": Settings(lowering="int8", requantize=True),
    "emulate": Settings(lowering="emulate", group_size=32),
}
MODELS: dict[str, Callable[..., ov.Model]] = {
    "llama": llama_model,
    "bare names": lambda: llama_model(bare_names=True),
    "stateless": lambda: llama_model(stateful=False),
    "i8": lambda: swiglu_model("w_i8_sym_ch"),
    "u4": lambda: swiglu_model("w_u4_asym_g128"),
    "if": lambda: if_model("w_i8_sym_ch"),
    "loop": lambda: loop_model("w_i8_sym_ch"),
    "iterator": lambda: tensor_iterator_model("w_i8_sym_ch"),
    "trio": lambda: trio_model("w_u8_asym_ch"),
}


def model_of(name: str) -> ov.Model:
    return number_nodes(MODELS[name]())


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("plan", ["native", "rank-4", "f16-zero-point", "emulate", "int8"])
def test_the_file_is_the_model_in_memory(tmp_path: Path, model: str, plan: str) -> None:
    xml = saved(model_of(model), tmp_path)
    original = weights(xml)
    done, _ = written_and_in_memory(xml, tmp_path / "out.xml", PLANS[plan])
    assert weights(xml) == original
    if set(done.weights.values()) != {"rewritten"}:
        assert weights(tmp_path / "out.xml")[: len(original)] == original


@pytest.mark.parametrize("plan", PLANS)
def test_strip_gives_back_graph_and_weights(tmp_path: Path, plan: str) -> None:
    xml = saved(swiglu_model("w_i8_sym_ch"), tmp_path)
    transform(xml, tmp_path / "out.xml", PLANS[plan])
    strip_source(tmp_path / "out.xml", tmp_path / "back.xml")
    assert weights(tmp_path / "back.xml") == weights(xml)
    assert structure(read(tmp_path / "back.xml")) == structure(read(xml))
    assert "ovpass" not in (tmp_path / "back.xml").read_text()


@pytest.mark.parametrize("plan", ["f16-zero-point", "emulate"])
def test_strip_gives_back_packed_weights_of_bodies(tmp_path: Path, plan: str) -> None:
    xml = saved(number_nodes(if_model("w_u8_asym_ch")), tmp_path)
    transform(xml, tmp_path / "out.xml", PLANS[plan])
    strip_source(tmp_path / "out.xml", tmp_path / "back.xml")
    assert structure(read(tmp_path / "back.xml")) == structure(read(xml))
    assert weights(tmp_path / "back.xml") == weights(xml)


def test_new_constants_are_aligned(tmp_path: Path) -> None:
    """Plugins map them into memory as they lie."""
    xml = saved(linear_model("w_i8_sym_ch", k=96, n=33), tmp_path)
    transform(xml, tmp_path / "out.xml", PLANS["emulate"])
    added = [offset for _, offset, _ in constants(tmp_path / "out.xml") if offset >= len(weights(xml))]
    assert added
    assert not any(offset % 64 for offset in added)


def test_weights_that_are_cut_short_are_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xml, save = saved(swiglu_model("w_u8_asym_ch"), tmp_path), ov.save_model

    def cut(model: ov.Model, path: Path, **options: bool) -> None:
        save(model, path, **options)
        os.truncate(path.with_suffix(".bin"), path.with_suffix(".bin").stat().st_size - 1)

    monkeypatch.setattr(ov, "save_model", cut)
    with pytest.raises(OutputError):
        transform(xml, tmp_path / "out.xml", PLANS["int8"])
    assert not (tmp_path / "out.xml").exists()


def test_weights_that_stay_are_linked(tmp_path: Path) -> None:
    xml = saved(llama_model(), tmp_path)
    for name, settings in (("a", PLANS["native"]), ("b", Settings(rules=(Rule("kind:mlp", exempt=True),)))):
        done = transform(xml, tmp_path / f"{name}.xml", settings)
        assert done.weights == {"": "linked"}
        assert same_file(xml.with_suffix(".bin"), tmp_path / f"{name}.bin")
    assert xml.with_suffix(".bin").stat().st_nlink == 3


def test_weights_are_copied_on_demand(tmp_path: Path) -> None:
    xml = saved(llama_model(), tmp_path)
    done = transform(xml, tmp_path / "out.xml", PLANS["native"], copy_weights=True)
    assert done.weights == {"": "copied"}
    assert not same_file(xml.with_suffix(".bin"), tmp_path / "out.bin")
    assert weights(tmp_path / "out.xml") == weights(xml)


def test_the_copy_replaces_a_link_and_not_what_it_links_to(tmp_path: Path) -> None:
    xml = saved(llama_model(), tmp_path)
    transform(xml, tmp_path / "out.xml", PLANS["native"])
    original = weights(xml)
    transform(xml, tmp_path / "out.xml", PLANS["int8"], overwrite=True)
    assert weights(xml) == original
    assert not same_file(xml.with_suffix(".bin"), tmp_path / "out.bin")


def test_only_what_is_new_is_appended(tmp_path: Path) -> None:
    xml = saved(llama_model(), tmp_path)
    settings = Settings(rules=(Rule("kind:mlp.down", exempt=True),), exempt_with="f16-zero-point")
    done = transform(xml, tmp_path / "out.xml", settings)
    assert done.weights == {"": "extended"}
    end = len(weights(xml))
    before = {name: (offset, size) for name, offset, size in constants(xml)}
    after = {name: (offset, size) for name, offset, size in constants(tmp_path / "out.xml")}
    assert {name: after[name] for name in before.keys() & after.keys()} == {
        name: before[name] for name in before.keys() & after.keys()
    }
    assert all(offset >= end or size <= 64 for name, (offset, size) in after.items() if name not in before)
    down = sum(size for name, (_, size) in before.items() if "down_proj" in name)
    assert len(weights(tmp_path / "out.xml")) - end < 1.2 * down


def test_what_is_requantized_is_not_kept_twice(tmp_path: Path) -> None:
    xml = saved(swiglu_model("w_i4_sym_g128"), tmp_path)
    done = transform(xml, tmp_path / "out.xml", PLANS["int8"])
    assert done.weights == {"": "rewritten"}
    used = max(offset + size for _, offset, size in constants(tmp_path / "out.xml"))
    assert used == len(weights(tmp_path / "out.xml"))
    assert len(weights(tmp_path / "out.xml")) < 2.1 * len(weights(xml))


@pytest.mark.parametrize("plan", ["native", "rank-4", "f16-zero-point", "emulate"])
def test_saving_twice_gives_the_same(tmp_path: Path, plan: str) -> None:
    xml = saved(llama_model(), tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        transform(xml, tmp_path / name / "m.xml", PLANS[plan])
    assert (tmp_path / "one/m.xml").read_bytes() == (tmp_path / "two/m.xml").read_bytes()
    assert weights(tmp_path / "one/m.xml") == weights(tmp_path / "two/m.xml")


def test_apply_strip_apply_gives_the_same(tmp_path: Path) -> None:
    xml = saved(llama_model(), tmp_path)
    transform(xml, tmp_path / "one.xml", PLANS["f16-zero-point"])
    strip_source(tmp_path / "one.xml", tmp_path / "back.xml")
    transform(tmp_path / "back.xml", tmp_path / "two.xml", PLANS["f16-zero-point"])
    assert structure(read(tmp_path / "two.xml")) == structure(read(tmp_path / "one.xml"))
    assert weights(tmp_path / "two.xml") == weights(tmp_path / "one.xml")


@pytest.mark.parametrize("plan", ["native", "rank-4", "f16-zero-point", "emulate"])
@pytest.mark.parametrize("name", ["a&b", "<a>", 'say "it"', "it's", "&amp;", "a\\1b", "ü→", "a  b", "[x]{0}%s"])
def test_any_name_survives(tmp_path: Path, plan: str, name: str) -> None:
    model = linear_model("w_i8_sym_ch", 256, 64)
    for node in model.get_ordered_ops():
        node.set_friendly_name(f"{node.get_friendly_name()}{name}")
    model.inputs[0].set_names({f"x{name}"})
    model.outputs[0].set_names({f"y{name}"})
    xml = saved(model, tmp_path)
    done, _ = written_and_in_memory(xml, tmp_path / "out.xml", PLANS[plan])
    assert done.counts["skip"] == 0
    strip_source(tmp_path / "out.xml", tmp_path / "back.xml")
    assert structure(read(tmp_path / "back.xml")) == structure(read(xml))


@pytest.mark.parametrize("plan", ["rank-4", "f16-zero-point", "emulate"])
def test_constants_of_one_name(tmp_path: Path, plan: str) -> None:
    """They are told apart by content."""
    x = op.parameter([-1, -1, 256], np.float32, name="x")
    x.output(0).set_names({"x"})
    y = matmul(matmul(x, "w_i8_sym_ch", 256, 256, "first", 1), "w_i8_sym_ch", 256, 256, "second", 2)
    model = finish([y], [x], ["y"])
    for node in model.get_ops():
        if node.get_type_name() == "Constant":
            node.set_friendly_name("same")
    xml = saved(model, tmp_path)
    inputs = np.random.default_rng(0).normal(size=(1, 8, 256)).astype(np.float32)
    transform(xml, tmp_path / "out.xml", PLANS[plan])
    strip_source(tmp_path / "out.xml", tmp_path / "back.xml")
    exact = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
    run = [ov.Core().compile_model(read(p), "CPU", exact)([inputs])[0] for p in (xml, tmp_path / "back.xml")]
    assert run[0].tobytes() == run[1].tobytes()
    changed = ov.Core().compile_model(read(tmp_path / "out.xml"), "CPU", exact)([inputs])[0]
    assert np.abs(changed - run[0]).max() < 0.05 * np.abs(run[0]).max()


def test_constants_in_bodies_stay_where_they_are(tmp_path: Path) -> None:
    xml = saved(number_nodes(if_model("w_i8_sym_ch", 512)), tmp_path)
    done, _ = written_and_in_memory(xml, tmp_path / "out.xml", PLANS["rank-4"])
    assert len(weights(tmp_path / "out.xml")) - len(weights(xml)) < 1024
    assert done.counts["exempt"] == 2


def test_layers_in_another_order(tmp_path: Path) -> None:
    """An IR is read by the numbers of its layers, not by their order."""
    xml = saved(swiglu_model("w_i8_sym_ch"), tmp_path)
    text = xml.read_text()
    head, _, rest = text.partition("<layers>")
    layers, _, tail = rest.partition("</layers>")
    parts = [f"<layer {part}" for part in layers.split("<layer ")[1:]]
    inputs = [part for part in parts if 'type="Parameter"' in part]
    others = [part for part in parts if part not in inputs]
    xml.write_text(f"{head}<layers>{''.join(reversed(others))}{''.join(inputs)}</layers>{tail}")
    for plan in ("native", "rank-4", "emulate"):
        written_and_in_memory(xml, tmp_path / f"{plan}.xml", PLANS[plan])


def test_symlinked_models(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    xml = saved(llama_model(), tmp_path / "real")
    for suffix in ("xml", "bin"):
        (tmp_path / f"links/model.{suffix}").symlink_to(xml.with_suffix(f".{suffix}"))
    transform(tmp_path / "links/model.xml", tmp_path / "out.xml", PLANS["native"])
    transform(tmp_path / "links", tmp_path / "out", PLANS["native"])
    for place in (tmp_path / "out.bin", tmp_path / "out/model.bin"):
        assert not place.is_symlink()
        assert same_file(place, xml.with_suffix(".bin"))
    shutil.rmtree(tmp_path / "links")
    shutil.rmtree(tmp_path / "real")
    assert read(tmp_path / "out/model.xml").inputs
