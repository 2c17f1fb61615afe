"""What is decided for each lowering, and what is refused because lowering or target cannot do it."""

from __future__ import annotations

from collections.abc import Callable

import openvino as ov
import pytest

from ovpass.errors import ModelError, SettingsError
from ovpass.ir.metadata import ModelMetadata
from ovpass.ir.runtime_options import GROUP_SIZE, LARGEST_GROUP_SIZE, write_option
from ovpass.lowerings.planner import make_plan
from ovpass.planning.plan import Decision, Plan, plan_from_dict
from ovpass.settings.settings import Rule, Settings
from ovpass.targets.group_sizes import PER_TOKEN
from tests.builders import encoder_model, linear_model, llama_model, pair_model, shared_model, swiglu_model, trio_model
from tests.passes.helpers import structure

THRESHOLD = "OV_GPU_DYNAMIC_QUANTIZATION_THRESHOLD"
ASYMMETRIC = "OV_GPU_ASYM_DYNAMIC_QUANTIZATION"


def planned(model: ov.Model, *rules: Rule, **settings: object) -> Plan:
    return make_plan(model, Settings(rules=rules, **settings))  # type: ignore[arg-type]


def only(plan: Plan) -> Decision:
    (decision,) = plan.decisions
    return decision


def by_name(plan: Plan) -> dict[str, Decision]:
    return {decision.name: decision for decision in plan.decisions}


def with_options(model: ov.Model, **options: object) -> ov.Model:
    for name, value in options.items():
        write_option(ModelMetadata(model), name, str(value))
    return model


def kinds(plan: Plan, action: str) -> set[str]:
    return {decision.kind for decision in plan.chosen(action)}


# What cannot be done: the words are what the message must have to be of use.
REFUSED = [
    # native
    ("llama", {"axis": 0}, ["axis", "emulate"]),
    ("llama", {"axis": -2}, ["axis", "emulate"]),
    ("llama", {"rules": (Rule("kind:mlp", axis=1),)}, ["kind:mlp", "axis"]),
    ("llama", {"rules": (Rule("kind:mlp", threshold=3),)}, ["kind:mlp", "emulate"]),
    ("llama", {"rules": (Rule("kind:mlp", symmetric=False),)}, ["kind:mlp", "emulate"]),
    ("llama", {"threshold": 3, "target": "cpu"}, ["threshold", "cpu"]),
    ("llama", {"threshold": 3, "target": "gpu-no-xmx"}, ["threshold", "gpu"]),
    ("llama", {"symmetric": False, "target": "cpu"}, ["symmetric", "cpu"]),
    ("llama", {"symmetric": False, "group_size": 32}, ["symmetric", "32"]),
    ("llama", {"rules": (Rule("kind:mlp", group_size=32),), "target": "cpu", "group_size": 64}, ["32, 64", "cpu"]),
    ("llama", {"rules": (Rule("kind:mlp.down", group_size=48),)}, ["kind:mlp.down", "48"]),
    ("llama", {"rules": (Rule("kind:mlp.down", group_size=8),)}, ["kind:mlp.down", "8"]),
    ("llama", {"exempt": "kind:mlp", "exempt_with": "rank-4", "target": "cpu"}, ["rank-4", "f16-zero-point"]),
    ("llama", {"exempt": "kind:mlp", "exempt_with": "precise", "target": "gpu-no-xmx"}, ["precise", "f16-weights"]),
    # int8
    ("llama", {"lowering": "int8"}, ["i4", "requantize"]),
    ("u8", {"lowering": "int8"}, ["asymmetric", "requantize"]),
    ("i8", {"lowering": "int8", "group_size": 32}, ["group_size", "emulate"]),
    ("i8", {"lowering": "int8", "threshold": 3}, ["threshold", "emulate"]),
    ("i8", {"lowering": "int8", "axis": 0}, ["axis", "emulate"]),
    ("i8", {"lowering": "int8", "symmetric": False}, ["symmetric", "emulate"]),
    ("i8", {"lowering": "int8", "rules": (Rule("linear", group_size=32),)}, ["linear", "emulate"]),
    ("i8", {"lowering": "int8", "rules": (Rule("linear", threshold=1),)}, ["linear", "emulate"]),
    ("i8", {"lowering": "int8", "rules": (Rule("linear", symmetric=False),)}, ["linear", "emulate"]),
    # emulate
    ("i8", {"lowering": "emulate", "group_size": 48}, ["48", "512", "linear"]),
    ("i8", {"lowering": "emulate", "rules": (Rule("linear", group_size=7),)}, ["7", "linear"]),
    ("i8", {"lowering": "emulate", "axis": 3}, ["axis 3", "rank 3"]),
    ("i8", {"lowering": "emulate", "axis": -4}, ["axis -4", "rank 3"]),
    ("i8", {"lowering": "emulate", "axis": -2, "group_size": 32}, ["axis -2", "per-token"]),
    # any
    ("i8", {"rules": (Rule("kind:attn", exempt=True),)}, ["kind:attn"]),
    ("i8", {"rules": (Rule("linaer", exempt=True),)}, ["linear"]),
]
MODELS: dict[str, Callable[..., ov.Model]] = {
    "llama": llama_model,
    "i8": lambda: linear_model("w_i8_sym_ch"),
    "u8": lambda: linear_model("w_u8_asym_ch"),
}


@pytest.mark.parametrize(("model", "settings", "words"), REFUSED)
def test_what_cannot_be_done(model: str, settings: dict[str, object], words: list[str]) -> None:
    settings = dict(settings)
    exempt = settings.pop("exempt", None)
    rules = (Rule(str(exempt), exempt=True),) if exempt else settings.pop("rules", ())
    with pytest.raises(SettingsError) as error:
        make_plan(MODELS[model](), Settings(**settings, rules=rules))  # type: ignore[arg-type]
    assert all(word in str(error.value) for word in words)


def test_a_model_is_not_planned_twice() -> None:
    model = linear_model()
    ModelMetadata(model).set("ovpass", "note", "{}")
    with pytest.raises(ModelError, match="strip"):
        make_plan(model)


def test_planning_changes_nothing() -> None:
    model = llama_model()
    before = structure(model)
    for settings in (Settings(), Settings(lowering="emulate"), Settings(lowering="int8", requantize=True)):
        make_plan(model, settings)
    assert structure(model) == before


# native: the group size in force


@pytest.mark.parametrize(("target", "size"), [("gpu-xmx", PER_TOKEN), ("gpu-no-xmx", 32), ("cpu", 32)])
def test_the_target_has_a_default(target: str, size: int) -> None:
    plan = planned(linear_model("w_u8_asym_ch"), target=target)
    assert plan.model_group_size == size
    assert only(plan).action == "quantize"


def test_the_setting_comes_before_the_model_and_the_model_before_the_default() -> None:
    asked = with_options(linear_model(), **{GROUP_SIZE: 128})
    assert only(planned(asked)).group_size == 128
    assert only(planned(asked, group_size=64)).group_size == 64
    assert only(planned(linear_model())).group_size == PER_TOKEN


def test_a_model_that_switches_itself_off_stays_off_until_asked() -> None:
    off = with_options(linear_model(), **{GROUP_SIZE: 0})
    assert only(planned(off)).action == "skip"
    assert only(planned(off, group_size=64)).action == "quantize"


@pytest.mark.parametrize("size", ["off", 0])
def test_off_switches_the_plugin_off_and_changes_no_site(size: object) -> None:
    plan = planned(llama_model(), group_size=size)
    assert plan.model_group_size == 0
    assert {(decision.action, decision.method) for decision in plan.decisions} == {("exempt", None)}
    assert plan_from_dict(plan.to_dict()) == plan


def test_off_leaves_the_sites_of_rules() -> None:
    plan = planned(llama_model(), Rule("kind:mlp", group_size=32), group_size="off")
    assert plan.model_group_size == 32
    assert kinds(plan, "quantize") == {"mlp.gate", "mlp.up", "mlp.down"}
    assert all(decision.method for decision in plan.chosen("exempt"))


def test_the_largest_group_size_in_the_model_switches_off_above() -> None:
    limited = with_options(linear_model(), **{LARGEST_GROUP_SIZE: 64})
    assert only(planned(limited, group_size=64)).action == "quantize"
    refused = only(planned(limited, group_size=128))
    assert (refused.action, LARGEST_GROUP_SIZE in refused.reason) == ("skip", True)
    with pytest.raises(SettingsError, match=LARGEST_GROUP_SIZE):
        planned(limited, Rule("linear", group_size=128))


def test_mixed_formats_each_have_their_fate() -> None:
    model = shared_model(["w_i8_sym_ch", "w_u4_asym_g128", "w_nf4_g128", "w_f16_plain"], [64] * 4)
    plan = planned(model, group_size=256)
    assert {name: (d.action, d.group_size) for name, d in by_name(plan).items()} == {
        "linear_0": ("quantize", 256),
        "linear_1": ("quantize", 128),
        "linear_2": ("skip", None),
    }
    assert "nf4" in by_name(plan)["linear_2"].reason
    with pytest.raises(SettingsError, match="linear_1"):
        planned(model, Rule("linear_1", group_size=256), group_size=256)
    with pytest.raises(SettingsError, match="nf4"):
        planned(model, Rule("linear_2", group_size=256), group_size=256)


def test_the_first_rule_decides() -> None:
    rules = (Rule("layer:0", exempt=True), Rule("kind:mlp", group_size=32), Rule("re:.*", group_size=64))
    plan = planned(llama_model(), *rules, lowering="emulate", group_size=128)
    assert {d.action for d in plan.decisions if d.layer == 0} == {"exempt"}
    sizes = {d.kind: d.group_size for d in plan.decisions if d.layer != 0}
    assert sizes["mlp.down"] == sizes["mlp.up"] == 32
    assert sizes["attn.q"] == sizes["lm_head"] == 64


def test_a_smaller_group_for_some_sites() -> None:
    plan = planned(swiglu_model("w_i8_sym_ch"), Rule("kind:mlp.down", group_size=32), group_size=256)
    assert {d.kind: (d.group_size, d.method) for d in plan.decisions} == {
        "mlp.gate": (256, None),
        "mlp.up": (256, None),
        "mlp.down": (32, "cap"),
    }
    assert plan.model_group_size == 256


def test_per_token_beside_a_smaller_group_is_all_of_k() -> None:
    """Caps do not work below a true per-token setting."""
    plan = planned(swiglu_model("w_i8_sym_ch"), Rule("kind:mlp.down", group_size=32))
    assert plan.model_group_size == 256
    assert {d.group_size for d in plan.decisions if d.kind != "mlp.down"} == {PER_TOKEN}


# native: leaving sites out


@pytest.mark.parametrize(
    ("target", "method"), [("gpu-xmx", "rank-4"), ("cpu", "f16-zero-point"), ("gpu-no-xmx", "f16-weights")]
)
def test_the_least_invasive_way_out(target: str, method: str) -> None:
    model = linear_model("w_u8_asym_ch")
    assert only(planned(model, Rule("linear", exempt=True), target=target)).method == method


@pytest.mark.parametrize("method", ["rank-4", "precise", "f16-zero-point", "f16-weights"])
def test_the_way_out_can_be_chosen(method: str) -> None:
    plan = planned(linear_model("w_u8_asym_ch"), Rule("linear", exempt=True), exempt_with=method)
    assert only(plan).method == method


def test_what_is_not_quantized_anyway_is_left_as_it_is() -> None:
    decision = only(planned(linear_model("w_nf4_g128"), Rule("linear", exempt=True)))
    assert (decision.action, decision.method) == ("exempt", None)
    assert "nf4" in decision.reason


def test_a_rule_that_splits_a_group_says_so() -> None:
    split = planned(pair_model(), Rule("linear_0", exempt=True))
    assert "splits" in by_name(split)["linear_0"].reason
    whole = planned(pair_model(), Rule("re:.*", exempt=True))
    assert not any("splits" in decision.reason for decision in whole.decisions)


def test_one_of_a_fused_trio_is_not_given_a_zero_point_of_its_own() -> None:
    trio = trio_model("w_u8_asym_ch")
    with pytest.raises(SettingsError, match="all three"):
        planned(trio, Rule("linear_0", exempt=True), exempt_with="f16-zero-point")
    assert planned(trio, Rule("re:.*", exempt=True), exempt_with="f16-zero-point").counts()["exempt"] == 3


# what the model has to be run with


def test_the_environment_it_needs() -> None:
    model = linear_model()
    assert planned(model).run_environment == {}
    assert planned(model, threshold=64).run_environment == {}
    assert planned(model, threshold=0).run_environment == {THRESHOLD: "0"}
    assert planned(model, symmetric=False).run_environment == {ASYMMETRIC: "1"}
    assert planned(model, lowering="emulate", threshold=7, symmetric=False).run_environment == {}


def test_asymmetric_works_per_token_said_in_so_many_words() -> None:
    plan = planned(linear_model("w_i8_sym_ch"), symmetric=False, group_size=PER_TOKEN)
    assert plan.run_environment == {ASYMMETRIC: "1"}


def test_int8_leaves_transposed_activations_alone() -> None:
    assert "transposed" in only(planned(linear_model(transpose_a=True), lowering="int8")).reason


def test_asymmetric_is_refused_where_the_model_asks_for_groups() -> None:
    with pytest.raises(SettingsError, match="per token"):
        planned(with_options(linear_model(), **{GROUP_SIZE: 64}), symmetric=False)


def test_the_properties_it_needs() -> None:
    model = linear_model()
    assert planned(model).run_properties == {}
    assert planned(model, target="cpu").run_properties == {"INFERENCE_PRECISION_HINT": "f32"}
    assert planned(model, lowering="emulate").run_properties == {"INFERENCE_PRECISION_HINT": "f32"}


def test_static_shapes_are_noted() -> None:
    assert planned(linear_model(static_tokens=8)).notes
    assert not planned(linear_model()).notes
    assert not planned(linear_model(static_tokens=8), target="cpu").notes


def test_a_plan_that_quantizes_nothing_says_what_would_fit() -> None:
    (note,) = planned(llama_model(), group_size=100).notes
    fitting = [int(word) for word in note.replace(",", "").split() if word.isdigit()]
    assert fitting
    for size in fitting:
        plan = planned(llama_model(), group_size=size)
        assert (plan.counts()["skip"], plan.notes) == (0, ())


def test_what_the_ir_limits_does_not_fit() -> None:
    model = with_options(llama_model(), **{LARGEST_GROUP_SIZE: 64})
    (note,) = planned(model).notes
    assert "per-token" not in note
    assert "64" in note


def test_what_is_exempt_needs_no_other_group_size() -> None:
    assert not planned(linear_model(), Rule("kind:other", exempt=True)).notes


def test_a_plan_for_weights_that_no_group_size_suits_says_why() -> None:
    plan = planned(linear_model(rank=4))
    (note,) = plan.notes
    assert only(plan).reason in note


# int8


def test_int8_takes_what_lowers_and_switches_the_plugin_off() -> None:
    plan = planned(encoder_model(), Rule("kind:mlp", exempt=True), lowering="int8")
    assert kinds(plan, "exempt") == {"mlp.up", "mlp.down"}
    assert {d.group_size for d in plan.chosen("quantize")} == {PER_TOKEN}
    assert plan.model_group_size == 0


def test_int8_requantizes_only_what_needs_it() -> None:
    model = shared_model(["w_i8_sym_ch", "w_u4_asym_g128"], [64, 64])
    plan = planned(model, lowering="int8", requantize=True)
    assert {name: d.method for name, d in by_name(plan).items()} == {"linear_0": None, "linear_1": "requantize"}
    exempted = planned(model, Rule("linear_1", exempt=True), lowering="int8")
    assert {name: d.action for name, d in by_name(exempted).items()} == {"linear_0": "quantize", "linear_1": "exempt"}


def test_int8_leaves_what_no_weights_would_help() -> None:
    assert only(planned(linear_model(weights_on_input0=True), lowering="int8")).action == "skip"


# emulate


@pytest.mark.parametrize(("target", "threshold"), [("gpu-xmx", 64), ("cpu", 0)])
def test_emulate_takes_the_targets_defaults(target: str, threshold: int) -> None:
    decision = only(planned(linear_model(), lowering="emulate", target=target))
    assert (decision.threshold, decision.axis, decision.symmetric) == (threshold, -1, True)


def test_emulate_gives_each_site_its_own() -> None:
    rule = Rule("linear_1", group_size=64, threshold=3, symmetric=False)
    plan = planned(pair_model(), rule, lowering="emulate", group_size=32, threshold=9)
    first, second = (by_name(plan)[f"linear_{i}"] for i in range(2))
    assert (first.group_size, first.threshold, first.symmetric) == (32, 9, True)
    assert (second.group_size, second.threshold, second.symmetric) == (64, 3, False)


def test_emulate_takes_any_axis_whole() -> None:
    for axis in (0, 1, 2, -1, -2, -3):
        assert only(planned(linear_model(), lowering="emulate", axis=axis)).axis == axis


def test_emulate_takes_weights_that_no_plugin_quantizes_for() -> None:
    assert only(planned(linear_model("w_nf4_g128"), lowering="emulate")).action == "quantize"
