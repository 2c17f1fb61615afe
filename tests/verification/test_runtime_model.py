"""From the names in a compiled model back to the MatMuls of the model that was compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.passes import Exempt, PassManager
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Observation
from ovpass.verification.observation import TRACED_PASS
from ovpass.verification.original_names import last_group, originals
from ovpass.verification.runtime_model import readers_of
from ovpass.verification.tracing import traced_matmuls
from tests.builders import (
    activation,
    add_bias,
    finish,
    if_model,
    linear_model,
    matmul,
    shared_model,
    swiglu_model,
    trio_model,
)
from tests.simulated_gpu import Job
from tests.targets.cases import flat, grouped, merged
from tests.targets.scaled_cases import multiplied, scaled

I8 = "w_i8_sym_ch"
TRIO = ["linear_0", "linear_1", "linear_2"]


def lora_trio() -> ov.Model:
    """Three MatMuls and the first of a LoRA branch on one activation; the plugin fuses just the three."""
    x = activation(I8, 512)
    base = [matmul(x, I8, 64, 512, f"linear_{i}", i) for i in range(3)]
    lora = matmul(matmul(x, "w_f16_plain", 8, 512, "lora_a"), "w_f16_plain", 64, 8, "lora_b")
    outputs = [op.relu(op.add(base[0], lora)), op.relu(base[1]), op.relu(base[2])]
    return finish(outputs, [x], ["y0", "y1", "y2"])


def test_names_are_kept_renamed_and_fused() -> None:
    readers = readers_of(trio_model(I8))
    assert originals("linear_1", readers) == originals("linear_1.0", readers) == ["linear_1"]
    for fused in ("linear_2_fused_3FCs", "linear_0_with_bias_fused_3FCs"):
        assert sorted(originals(fused, readers)) == TRIO
    assert originals("Convert_17", readers) == originals("linear_2_fused_4FCs", readers) == []


def test_a_name_that_ends_like_a_renamed_one_is_itself() -> None:
    model = linear_model(I8)
    next(node for node in model.get_ops() if node.get_type_name() == "MatMul").set_friendly_name("linear.0")
    assert originals("linear.0", readers_of(model)) == ["linear.0"]


def read_in_f32() -> ov.Model:
    """A product that is put beside something normalized, for which the plugin keeps f32."""
    x, beside = activation(I8, 512), op.parameter([-1, 32], ov.Type.f32, name="beside")
    beside.output(0).set_names({"beside"})
    product = add_bias(matmul(x, I8, 64, 512, "linear"), 64, "f32", "linear.bias")
    length = op.maximum(op.reduce_l2(beside, np.array([-1]), True), np.float32(1e-12))
    leading = op.gather(op.shape_of(x), np.array([0, 1]), np.int64(0))
    normal = op.unsqueeze(op.divide(beside, length), np.int64(1))
    repeated = op.broadcast(normal, op.concat([leading, op.constant(np.array([32]))], 0), "BIDIRECTIONAL")
    return finish([op.concat([product, repeated], -1)], [x, beside], ["y"])


def test_a_conversion_behind_it_does_not_hide_the_name() -> None:
    model = linear_model(I8)
    assert originals("linear_decompressed_to_f32", readers_of(model)) == ["linear"]
    next(node for node in model.get_ops() if node.get_type_name() == "MatMul").set_friendly_name("x_compressed_to_f16")
    assert originals("x_compressed_to_f16", readers_of(model)) == ["x_compressed_to_f16"]


def test_a_factor_that_is_folded_stands_for_its_matmul() -> None:
    model = scaled(lambda y: op.relu(op.multiply(op.add(y, np.float32(1)), np.float32(0.5))))
    (factor,) = (node for node in model.get_results()[0].input_value(0).get_node().input_values())
    assert originals(f"{factor.get_node().get_friendly_name()}.0", readers_of(model)) == ["linear"]


def test_only_weights_of_one_kind_are_fused() -> None:
    readers = readers_of(lora_trio())
    assert (sorted(readers["linear_0"]), readers["lora_a"]) == (TRIO, ["lora_a"])
    readers = readers_of(shared_model(["w_u8_asym_ch", "w_u8_sym_ch"], [64, 64]))
    assert readers == {"linear_0": ["linear_0"], "linear_1": ["linear_1"]}


def test_a_detour_hides_no_reader() -> None:
    changed = PassManager([Exempt(dict.fromkeys(TRIO, "rank-4"))]).run(trio_model(I8)).model
    assert sorted(readers_of(changed)["linear_0"]) == TRIO


def test_matmuls_in_bodies_go_by_their_path() -> None:
    assert set(readers_of(if_model(I8))) == {"if/then_body/body_linear", "if/else_body/body_linear_else"}


@pytest.mark.parametrize(("text", "group"), [("1, 1, 128", 128), ("1,32", 32), ("1, 1, -1", PER_TOKEN)])
def test_group_along_k(text: str, group: int) -> None:
    assert last_group(text) == group


def test_the_last_graph_written_counts(tmp_path: Path) -> None:
    def write(name: str, group: int) -> None:
        net = ElementTree.fromstring(
            '<net><layers><layer id="0" name="dq" type="DynamicQuantize"><data group_sizes="1,1,128"/>'
            '<output><port id="0" precision="I8"/></output></layer>'
            '<layer id="1" name="linear" type="FullyConnectedCompressed"/><layer id="2" name="x" type="Parameter"/>'
            '</layers><edges><edge from-layer="2" from-port="0" to-layer="0" to-port="0"/>'
            '<edge from-layer="0" from-port="0" to-layer="1" to-port="0"/></edges></net>'
        )
        next(net.iter("data")).set("group_sizes", f"1, 1, {group}")
        ElementTree.ElementTree(net).write(tmp_path / name)

    write(f"Model1_000_{TRACED_PASS}.xml", 64)
    write(f"Model1_001_{TRACED_PASS}.xml", 32)
    (found,) = traced_matmuls(tmp_path, readers_of(linear_model(I8)))
    assert (found.names, found.group_size, found.activation_type, found.quantizer) == (("linear",), 32, "i8", "x/32")


CASES: dict[str, tuple[Callable[[], ov.Model], dict[str, int | None], int]] = {
    # model, group sizes, DynamicQuantize nodes
    "plain": (lambda: linear_model(I8), {"linear": 64}, 1),
    "bias": (lambda: linear_model(I8, bias=True), {"linear": 64}, 1),
    "gemm": (lambda: linear_model(I8, weights_on_input0=True), {"linear": None}, 0),
    "trio": (lambda: trio_model(I8), dict.fromkeys(TRIO, 64), 1),
    "trio-with-lora": (lora_trio, {**dict.fromkeys(TRIO, 64), "lora_a": None, "lora_b": None}, 1),
    "four": (lambda: shared_model([I8] * 4, [64] * 4), {f"linear_{i}": 64 for i in range(4)}, 1),
    "read-in-f32": (read_in_f32, {"linear": 64}, 1),
    "folded-factor": (lambda: scaled(multiplied(64), weight=lambda: flat(grouped())), {"linear": 64}, 1),
    "swiglu": (lambda: swiglu_model(I8), dict.fromkeys(("gate_proj", "up_proj", "down_proj"), 64), 2),
}


@pytest.fixture(scope="module")
def seen(simulated_gpu: Callable[..., list[Observation]]) -> Observation:
    together = merged({name: build() for name, (build, _, _) in CASES.items()})
    (done,) = simulated_gpu([Job(together, {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 64})])
    return done


@pytest.mark.parametrize("case", CASES)
def test_every_matmul_is_found_again(seen: Observation, case: str) -> None:
    _, groups, quantizers = CASES[case]
    own: Mapping[str, int | None] = {
        name.partition("/")[2]: group for name, group in seen.groups.items() if name.startswith(f"{case}/")
    }
    assert own == groups
    nodes = {matmul.quantizer for matmul in seen.matmuls if matmul.names[0].startswith(f"{case}/")} - {None}
    assert len(nodes) == quantizers


def test_fusions_are_one_node(seen: Observation) -> None:
    together = {matmul.names for matmul in seen.matmuls if len(matmul.names) > 1}
    assert {tuple(name.partition("/")[0] for name in names) for names in together} == {
        ("trio",) * 3,
        ("trio-with-lora",) * 3,
    }
    assert {matmul.kind for matmul in seen.matmuls if matmul.names[0].startswith("gemm/")} == {"Gemm"}
