"""What the finder says of every way to store weights, and of the graphs around them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.ir.document import IrDocument
from ovpass.ir.model_graph import ModelGraph
from ovpass.lowerings.planner import make_plan
from ovpass.planning.plan import plan_from_dict
from ovpass.sites import CompressedMatMul, find_compressed_matmuls, find_sites
from tests.builders import (
    FORMATS,
    WeightFormat,
    activation,
    encoder_model,
    finish,
    if_model,
    linear_model,
    llama_model,
    loop_model,
    lora_model,
    matmul,
    pair_model,
    project,
    shared_model,
    tensor_iterator_model,
    tied_model,
    trio_model,
    weights,
)
from tests.targets.cases import CHAINS, PLAIN, SHAPES, Build

FILES = Path(__file__).resolve().parents[2] / "models" / "formats"
PLAIN_WEIGHTS = ("w_f16_plain", "w_f32_plain")
COMPRESSED = [name for name in FORMATS if name not in PLAIN_WEIGHTS]
K, N = 512, 64


def the_site(model: ov.Model) -> CompressedMatMul:
    (site,) = find_compressed_matmuls(model)
    return site


def chain_of(fmt: WeightFormat) -> str:
    """The steps that the builders put after the codes."""
    steps = [] if fmt.codebook is not None and fmt.type == "u8" else ["Convert"]  # indices are looked up as u8
    if fmt.codebook is not None:
        steps.append("Gather")
    if fmt.zero_point is not None:
        steps.append("Subtract")
    steps += ["Multiply"] * (2 if fmt.second_multiply else 1)
    if fmt.grouped:
        steps.append("Reshape")
    last = ["Convert"] if fmt.compute != fmt.output else []
    if fmt.layout == "NK-transposed":
        last = [*last, "Transpose"]
    if fmt.layout == "NK-transposed-before-convert":
        last = ["Transpose", *last]
    return ">".join([*steps, *last])


@pytest.mark.parametrize("name", COMPRESSED)
def test_every_format(name: str) -> None:
    fmt, site = FORMATS[name], the_site(linear_model(name, k=K, n=N))
    assert (site.name, site.k, site.n, site.macs) == ("linear", K, N, K * N)
    assert (site.weight_type, site.codebook) == (fmt.type, fmt.codebook is not None)
    assert site.weight_group_size == fmt.group
    assert site.symmetric == fmt.symmetric
    assert site.zero_point == (None if fmt.symmetric else "float" if fmt.zero_point_type == "f16" else "integer")
    assert site.zero_point_group_size == (fmt.group if fmt.zero_point == "group" else None)
    assert site.chain == chain_of(fmt)
    assert site.weight_rank == (2 if fmt.batch is None else 3)
    assert (site.weights_input, site.activation_rank, site.activation_static) == (1, 3, False)
    assert (site.compute_type, site.precise, site.transposed_activation) == (fmt.output, False, False)
    assert site.matmul.get_friendly_name() == "linear"
    assert site.activation.get_node().get_friendly_name() == "x"


@pytest.mark.parametrize("name", ["w_i8_sym_ch", "p_i8_ch_tb_false_KN", "p_u4_asym_g128_tb_false_KN", "w_i4_sym_g64"])
def test_weights_on_the_first_input(name: str) -> None:
    site = the_site(linear_model(name, k=K, n=N, weights_on_input0=True))
    assert (site.weights_input, site.k, site.n, site.weight_group_size) == (0, K, N, FORMATS[name].group)


@pytest.mark.parametrize("weights_first", [False, True])
def test_transposed_activation(weights_first: bool) -> None:
    site = the_site(linear_model(k=K, n=N, transpose_a=True, weights_on_input0=weights_first))
    # a MatMul with weights first reads the activation [K, tokens] as it lies
    assert site.transposed_activation
    assert (site.k, site.n) == (K, N)
    assert [site.activation_axis(axis) for axis in (-1, -2, -3, 2)] == [-2, -1, -3, -2]


def test_axes_of_a_plain_activation_stay() -> None:
    site = the_site(linear_model())
    assert [site.activation_axis(axis) for axis in (-1, -2, 0, 2)] == [-1, -2, -3, -1]


@pytest.mark.parametrize(("rank", "tokens"), [(1, None), (2, None), (4, None), (2, 7), (3, 7)])
def test_shapes_of_activations(rank: int, tokens: int | None) -> None:
    site = the_site(linear_model(rank=rank, static_tokens=tokens))
    assert (site.activation_rank, site.activation_static) == (rank, rank == 1 or tokens is not None)


def test_k_comes_from_the_weights() -> None:
    assert the_site(linear_model(k=K, dynamic_k=True)).k == K


def test_activations_of_dynamic_rank() -> None:
    model = linear_model()
    model.get_parameters()[0].set_partial_shape(ov.PartialShape.dynamic())
    model.validate_nodes_and_infer_types()
    site = the_site(model)
    assert (site.activation_rank, site.activation_static) == (None, False)


@pytest.mark.parametrize("name", PLAIN_WEIGHTS)
def test_plain_weights_are_no_site(name: str) -> None:
    assert find_compressed_matmuls(linear_model(name)) == []


def test_products_of_activations_are_no_site() -> None:
    x = activation("w_i8_sym_ch", 64)
    assert find_compressed_matmuls(finish([op.matmul(x, x, False, True)], [x], ["y"])) == []


def test_integer_products_are_no_site() -> None:
    x = op.parameter([-1, 64], ov.Type.i32, name="x")
    weight = op.convert(op.constant(np.ones((8, 64), np.int8)), "i32")
    assert find_compressed_matmuls(finish([op.matmul(x, weight, False, True)], [x], ["y"])) == []


def test_products_of_two_constants_are_no_site() -> None:
    x = activation("w_i8_sym_ch", 64)
    folded = op.matmul(weights("w_i8_sym_ch", 8, 64), weights("w_i8_sym_ch", 8, 64), False, True)
    assert find_compressed_matmuls(finish([op.multiply(x, op.reduce_sum(folded, [0, 1]))], [x], ["y"])) == []


def test_lora_branches_are_no_sites() -> None:
    assert [site.name for site in find_compressed_matmuls(lora_model())] == ["linear"]


def test_tied_embedding_is_one_site() -> None:
    site = the_site(tied_model(vocab=256, hidden=64))
    assert (site.name, site.weight_type, site.n, site.weights_shared) == ("lm_head", "u8", 256, False)


def test_two_matmuls_on_one_constant_share_weights() -> None:
    x, z = activation("w_i8_sym_ch", 64), op.parameter([-1, 64], ov.Type.f32, name="z")
    weight = weights("w_i8_sym_ch", 8, 64)
    outputs = [project(value, weight, "w_i8_sym_ch", f"linear_{i}") for i, value in enumerate((x, z))]
    sites = find_compressed_matmuls(finish(outputs, [x, z], ["y", "w"]))
    assert [site.weights_shared for site in sites] == [True, True]
    assert len({site.group_id for site in sites}) == 2


def test_sites_on_one_activation_share_a_group() -> None:
    for model in (pair_model(), trio_model(["w_i8_sym_ch", "w_u4_asym_g128", "w_nf4_ch"])):
        sites = find_compressed_matmuls(model)
        assert len(sites) > 1
        assert len({site.group_id for site in sites}) == 1


def test_outputs_of_one_node_are_different_activations() -> None:
    x = activation("w_i8_sym_ch", 128)
    halves = op.split(x, np.int64(2), 2)
    outputs = [matmul(halves.output(i), "w_i8_sym_ch", 8, 64, f"linear_{i}") for i in (0, 1)]
    sites = find_compressed_matmuls(finish(outputs, [x], ["a", "b"]))
    assert len({site.group_id for site in sites}) == 2


def test_repeated_names_are_numbered() -> None:
    model = shared_model(["w_i8_sym_ch"] * 3, [64, 64, 64])
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul":
            node.set_friendly_name("linear")
    assert [site.name for site in find_compressed_matmuls(model)] == ["linear", "linear#2", "linear#3"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["linear", "linear", "linear#2", "linear#3"], ["linear", "linear#2", "linear#2#2", "linear#3"]),
        (["linear#2", "linear", "linear", "linear#3"], ["linear#2", "linear", "linear#3", "linear#3#2"]),
    ],
)
def test_a_number_that_is_in_a_name_already_is_not_given_twice(given: list[str], names: list[str]) -> None:
    model = shared_model(["w_i8_sym_ch"] * 4, [64, 64, 64, 64])
    matmuls = [node for node in model.get_ordered_ops() if node.get_type_name() == "MatMul"]
    for node, name in zip(matmuls, given, strict=True):
        node.set_friendly_name(name)
    sites = find_compressed_matmuls(model)
    assert [site.name for site in sites] == names
    assert not any(site.in_body for site in sites)
    for site in sites:
        assert site.name in [found.name for found in find_sites(ModelGraph(model), [site.name])]
    plan = make_plan(model)
    assert plan_from_dict(plan.to_dict()) == plan


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (if_model(), ["if/then_body/body_linear", "if/else_body/body_linear_else"]),
        (loop_model(), ["loop/body/body_linear"]),
        (tensor_iterator_model(), ["tensor_iterator/body/body_linear"]),
    ],
    ids=["if", "loop", "tensor_iterator"],
)
def test_sites_in_bodies_are_named_by_their_path(model: ov.Model, names: list[str]) -> None:
    sites = find_compressed_matmuls(model)
    assert [site.name for site in sites] == names
    assert [site.group_id.rsplit("/", 1)[0] for site in sites] == [name.rsplit("/", 1)[0] for name in names]
    assert {site.k for site in sites} == {256}


def file_name_facts(stem: str) -> dict[str, Any]:
    """What a committed model's name says of its weights."""
    group = next((int(part[1:]) for part in stem.split("_") if part[:1] == "g" and part[1:].isdigit()), None)
    kinds = {"int8": "8", "int4": "4", "int2": "2", "int3": "3"}
    kind = next((part for part in stem.split("_") if part in ("u4", "u8", "i4", "i8")), None)
    bits = next((digit for part, digit in kinds.items() if f"_{part}_" in stem), None)
    return {"group": group, "type": kind, "bits": bits, "asymmetric": "asym" in stem or "matmulnbits" in stem}


@pytest.mark.parametrize("path", sorted(FILES.glob("*.xml")), ids=lambda path: path.stem)
def test_committed_formats(path: Path) -> None:
    site, said = the_site(ov.Core().read_model(path)), file_name_facts(path.stem)
    assert (site.name, site.k, site.n) == ("linear", 128, 32)
    if said["group"] or "_ch" in path.stem:
        assert site.weight_group_size == said["group"]
    if said["type"]:
        assert site.weight_type == said["type"]
    if said["bits"]:
        assert site.weight_type[1:] == said["bits"]
    if said["asymmetric"]:
        assert not site.symmetric


MODELS: dict[str, Build] = {
    **PLAIN,
    **CHAINS,
    **SHAPES,
    "llama": llama_model,
    "llama-bare": lambda: llama_model(bare_names=True, stateful=False),
    "encoder": encoder_model,
    "tied": tied_model,
    "trio": trio_model,
    "if": if_model,
    "loop": loop_model,
    "tensor-iterator": tensor_iterator_model,
}


@pytest.mark.parametrize("name", MODELS)
def test_the_text_of_an_ir_gives_the_same_sites(name: str, tmp_path: Path) -> None:
    """All that a site says, from a model read by OpenVINO and from its .xml alone."""
    xml = tmp_path / "model.xml"
    ov.save_model(MODELS[name](), xml, compress_to_fp16=False)
    read = find_compressed_matmuls(ov.Core().read_model(xml))
    parsed = find_sites(IrDocument(xml, xml.with_suffix(".bin")).graph)
    assert {site.name: facts(site) for site in parsed} == {site.name: facts(site) for site in read}


def facts(site: CompressedMatMul) -> dict[str, Any]:
    """What two sites of different graphs can agree in."""
    said = {f.name: getattr(site, f.name) for f in fields(site) if f.compare}
    chain = site.weights
    operands = [(o.element_type, o.integer, o.groups, o.shape, o.direct) for o in (*chain.scales, *chain.zero_points)]
    return {**said, "operands": operands, "k_axes": chain.k_axes}
