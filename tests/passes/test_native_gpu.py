"""The native lowering on the real GPU plugin: what the plan says of every site is what the plugin does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import openvino as ov
import pytest

from ovpass import api
from ovpass.errors import SettingsError
from ovpass.lowerings.planner import make_plan
from ovpass.passes import CapGroups, Exempt, PassManager
from ovpass.planning.plan import Decision, Plan
from ovpass.settings.settings import Rule, Settings
from ovpass.sites import find_compressed_matmuls
from ovpass.targets import GPU_XMX
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Observation
from tests.builders import (
    FORMATS,
    attention_model,
    if_model,
    linear_model,
    llama_model,
    loop_model,
    pair_model,
    shared_model,
    swiglu_model,
    trio_model,
)
from tests.passes.helpers import GROUP_SIZE, graphs
from tests.simulated_gpu import Job
from tests.targets.cases import merged

K = 512
METHODS = ("auto", *GPU_XMX.exemptions)
FEW = ("w_i8_sym_ch", "w_i4_sym_g128", "w_u4_asym_g64", "w_u8_asym_ch")
TRIO = ("linear_0", "linear_1", "linear_2")

Compile = Callable[..., list[Observation]]
Groups = dict[str, int | None]
Planned = tuple[ov.Model, Plan]
Build = Callable[[], Planned]


def planned(model: ov.Model, *rules: Rule, **settings: Any) -> Planned:
    """The changed model and its plan."""
    plan = make_plan(model, Settings(rules=rules, **settings))
    return api.apply(model, plan), plan


def promised(plan: Plan) -> Groups:
    """The group size that the plan gives each site, None for no quantization."""
    return {decision.name: per_token(decision.group_size, decision) for decision in plan.decisions}


def in_force(compiled: Observation, prefix: str, plan: Plan) -> Groups:
    """The group size that the plugin gives each site of the plan, by its name in the compiled model."""
    groups = compiled.groups
    return {decision.name: per_token(groups[prefix + decision.name], decision) for decision in plan.decisions}


def per_token(group: int | None, decision: Decision) -> int | None:
    """A group that is all of K goes by that name."""
    k = int(decision.weights.rsplit("x", 1)[1])
    return PER_TOKEN if group is not None and group >= k else group


def compared(
    simulated_gpu: Compile, zoos: Mapping[Any, Mapping[str, Planned]]
) -> dict[tuple[Any, str], tuple[Groups, Groups]]:
    """The groups that each plan says, and those of the plugin; models of one group size are one.

    The first zoo is compiled. The plugin is asked for its graph of the others, which takes no kernels.
    """
    first, batches = next(iter(zoos)), dict[tuple[Any, int], dict[str, Planned]]()
    for name, zoo in zoos.items():
        for case, (model, plan) in zoo.items():
            batches.setdefault((name, plan.model_group_size), {})[case] = model, plan
    jobs = [
        Job(merged({case: model for case, (model, _) in batch.items()}), {GROUP_SIZE: group}, queried=name != first)
        for (name, group), batch in batches.items()
    ]
    return {
        (name, case): (promised(plan), in_force(done, f"{case}/", plan))
        for ((name, _), batch), done in zip(batches.items(), simulated_gpu(jobs), strict=True)
        for case, (_, plan) in batch.items()
    }


# Exemptions -----------------------------------------------------------------------------------------------------------


def exempting(model: ov.Model, method: str, *names: str) -> Planned:
    return planned(model, *(Rule(name, exempt=True) for name in names), exempt_with=method)


def static(model: ov.Model, tokens: int = 70) -> ov.Model:
    rank = len(model.input("x").get_partial_shape())
    model.reshape({"x": [1] * (rank - 2) + [tokens, K]})
    return model


def quantized_by_gpu(fmt: str) -> bool:
    return any(GPU_XMX.verdict(site, PER_TOKEN).eligible for site in find_compressed_matmuls(linear_model(fmt)))


def one(method: str, fmt: str, **shape: Any) -> Planned:
    return exempting(linear_model(fmt, **shape), method, "linear")


def of_three(method: str, fmt: str | list[str], exempt: tuple[str, ...], is_static: bool = False) -> Planned:
    model = trio_model(fmt)
    return exempting(static(model) if is_static else model, method, *exempt)


def of_two(method: str, fmt: str) -> Planned:
    return exempting(pair_model(fmt), method, "linear_1")


def exemptions(method: str) -> Iterator[tuple[str, Build]]:
    """Sites alone and among others, dynamic and static, rank 2 and 3."""
    formats = [fmt for fmt in FORMATS if quantized_by_gpu(fmt)] if method in ("auto", "f16-weights") else FEW
    for fmt in formats:
        yield fmt, partial(one, method, fmt)
    if method == "auto":
        return  # that is one of the others
    for fmt in FEW:
        yield f"{fmt}-rank-2", partial(one, method, fmt, rank=2)
        yield f"{fmt}-bias", partial(one, method, fmt, bias=True)
        yield f"{fmt}-static-rank-2", partial(one, method, fmt, rank=2, static_tokens=70)
        yield f"{fmt}-static-rank-3", partial(one, method, fmt, rank=3, static_tokens=70)
        for exempt in (TRIO[:1], TRIO[1:], TRIO):
            yield f"{fmt}-trio-{len(exempt)}", partial(of_three, method, fmt, exempt)
            yield f"{fmt}-trio-{len(exempt)}-static", partial(of_three, method, fmt, exempt, is_static=True)
        yield f"{fmt}-pair", partial(of_two, method, fmt)
    mixed = ["w_i8_sym_ch", "w_u4_asym_g128", "w_i4_sym_g128"]
    yield "mixed-trio", partial(of_three, method, mixed, TRIO[1:2])


def accepted(cases: Iterator[tuple[str, Build]]) -> dict[str, Planned]:
    """The cases that can be planned."""
    found = {}
    for name, build in cases:
        try:
            found[name] = build()
        except SettingsError:
            continue
    return found


EXEMPT_CASES = [(method, case) for method in METHODS for case, _ in exemptions(method)]


@pytest.fixture(scope="module")
def exempted(simulated_gpu: Compile) -> dict[tuple[str, str], tuple[Groups, Groups]]:
    """For each case the groups that the plan says, and those of the plugin."""
    return compared(simulated_gpu, {method: accepted(exemptions(method)) for method in METHODS})


@pytest.mark.parametrize(("method", "case"), EXEMPT_CASES)
def test_exempt_sites_are_not_quantized_and_others_are(exempted: Any, method: str, case: str) -> None:
    if (method, case) not in exempted:
        assert method == "f16-zero-point"
        assert "trio" in case
        return
    said, did = exempted[method, case]
    assert did == said
    assert None in said.values()


def test_only_members_of_asymmetric_trios_refuse_a_float_zero_point() -> None:
    zoo = accepted(exemptions("f16-zero-point"))
    refused = {case for case, _ in exemptions("f16-zero-point")} - zoo.keys()
    assert refused == {f"{fmt}-trio-{n}" for fmt in ("w_u4_asym_g64", "w_u8_asym_ch") for n in (1, 2)}


def test_those_would_not_compile(simulated_gpu: Compile) -> None:
    forced = PassManager([Exempt({"linear_0": "f16-zero-point"})]).run(trio_model("w_u4_asym_g64")).model
    (done,) = simulated_gpu([Job(forced)])
    assert done.error is not None


# Group sizes of single sites ------------------------------------------------------------------------------------------


def capping(model: ov.Model, general: int, **rules: int) -> Planned:
    return planned(model, *(Rule(name, group_size=group) for name, group in rules.items()), group_size=general)


CAPPED_FORMATS = (
    "w_i4_sym_ch",
    "w_i4_sym_g128",
    "w_i8_sym_ch",
    "w_i8_sym_g128",
    "w_u4_asym_ch",
    "w_u4_asym_g64",
    "w_u4_asym_g128",
    "w_u4_asym_g128_scalarzp",
    "w_u4_asym_g128_channelzp",
    "w_u8_asym_ch",
    "w_u8_asym_scalarzp",
    "w_u8_asym_g128",
    "p_i4_g128_tb_false_KN",
    "p_u4_asym_g128_tb_false_KN",
    "p_i8_ch_transpose_node",
    "onnx_qdq_i8_ch",
)
TRIO_RULES: tuple[dict[str, int], ...] = (
    {"linear_0": 64},
    {"linear_0": 64, "linear_1": 64},
    {"linear_0": 64, "linear_1": 32},
    dict.fromkeys(TRIO, 64),
    {"linear_0": 64, "linear_1": 64, "linear_2": 32},
    {"linear_0": 64, "linear_1": 32, "linear_2": 128},
)


def caps(general: int) -> Iterator[tuple[str, Build]]:
    def capped(build: Callable[[], ov.Model], **rules: int) -> Build:
        return lambda: capping(build(), general, **rules)

    for fmt in CAPPED_FORMATS:
        for group in (64, 32):
            yield f"{fmt}-{group}", capped(partial(pair_of, fmt), linear_1=group)
    for fmt in FEW:
        for index, rules in enumerate(TRIO_RULES):
            yield f"{fmt}-trio-{index}", capped(partial(trio_model, fmt), **rules)
    yield "mlp", capped(partial(swiglu_model, ffn=K), gate_proj=64, up_proj=64)
    yield "attention", capped(partial(attention_model, k=K), o_proj=32)


def pair_of(fmt: str) -> ov.Model:
    """A symmetric MatMul that takes any group, and one of the format."""
    return shared_model(["w_i8_sym_ch", fmt], [32, 64], K)


CAP_CASES = [(general, case) for general in (PER_TOKEN, 256) for case, _ in caps(general)]


@pytest.fixture(scope="module")
def capped(simulated_gpu: Compile) -> dict[tuple[int, str], tuple[Groups, Groups]]:
    return compared(simulated_gpu, {general: accepted(caps(general)) for general in (PER_TOKEN, 256)})


@pytest.mark.parametrize(("general", "case"), CAP_CASES)
def test_each_site_has_the_group_size_of_the_plan(capped: Any, general: int, case: str) -> None:
    if (general, case) not in capped:
        assert "trio" in case
        return
    said, did = capped[general, case]
    assert did == said
    assert len(set(did.values())) > 1 or set(did.values()) == {64}


@pytest.mark.parametrize("general", [PER_TOKEN, 256])
def test_trios_that_the_plugin_fuses_take_one_group_size(general: int) -> None:
    refused = {case for case, _ in caps(general)} - accepted(caps(general)).keys()
    expected = {
        "w_u8_asym_ch": (0, 1, 2, 4, 5),
        "w_u4_asym_g64": (2, 4, 5),  # 64 is their own group already
        "w_i8_sym_ch": (4, 5),  # only members that are capped become alike
        "w_i4_sym_g128": (4, 5),
    }
    assert refused == {f"{fmt}-trio-{index}" for fmt, indices in expected.items() for index in indices}


@pytest.mark.parametrize("fmt", ["w_u8_asym_ch", "w_i8_sym_ch"])
def test_other_trios_would_not_compile(simulated_gpu: Compile, fmt: str) -> None:
    sizes = {"linear_0": 64, "linear_1": 64, "linear_2": 32}
    forced = PassManager([CapGroups(sizes)]).run(trio_model(fmt)).model
    (done,) = simulated_gpu([Job(forced, {GROUP_SIZE: K})])
    assert done.error is not None


@pytest.mark.parametrize("tokens", [65, 300])
def test_capped_models_run(runs: Mapping[int, Observation], tokens: int) -> None:
    """Some finite groups compile and then have no kernel."""
    assert runs[tokens].error is None
    assert set(runs[tokens].runs[0].executed.values()) == {True}


@pytest.fixture(scope="module")
def runs(simulated_gpu: Compile) -> dict[int, Observation]:
    """Infers of layers of K=512 and 2048: the first two in groups of 64, the other per token."""
    model, plan = capping(swiglu_model(k=K, ffn=2048), PER_TOKEN, gate_proj=64, up_proj=64)
    config = {GROUP_SIZE: plan.model_group_size}
    jobs = [Job(model, config, shapes={"x": [1, tokens, K]}) for tokens in (65, 300)]
    return dict(zip((65, 300), simulated_gpu(jobs), strict=True))


# Whole models and bodies ----------------------------------------------------------------------------------------------


def wholes() -> dict[str, Planned]:
    return {
        "layers": planned(llama_model(fmt="w_u4_asym_g32"), Rule("layer:0", exempt=True)),
        "mlp": planned(
            llama_model(fmt="w_i8_sym_ch"), *(Rule(f"kind:{k}", exempt=True) for k in ("mlp.down", "attn.v"))
        ),
        "caps": planned(llama_model(fmt="w_i8_sym_ch", hidden=256, ffn=512), Rule("kind:mlp.down", group_size=64)),
    }


@pytest.fixture(scope="module")
def whole(simulated_gpu: Compile) -> dict[str, tuple[Plan, Observation]]:
    models = wholes()
    done = simulated_gpu([Job(model) for model, _ in models.values()])  # the model itself says its group size
    return {name: (plan, answer) for (name, (_, plan)), answer in zip(models.items(), done, strict=True)}


@pytest.mark.parametrize("name", ["layers", "mlp", "caps"])
def test_decoders(whole: Mapping[str, tuple[Plan, Observation]], name: str) -> None:
    plan, compiled = whole[name]
    assert in_force(compiled, "", plan) == promised(plan)


@pytest.mark.parametrize("method", METHODS)
def test_in_bodies(traced: Observation, method: str) -> None:
    groups = {path.rpartition("/")[2]: group for path, group in traced.groups.items()}
    assert groups[f"{method}-if-body_linear"] is None
    assert groups[f"{method}-if-body_linear_else"] == PER_TOKEN
    assert groups[f"{method}-loop-body_linear"] is None


@pytest.fixture(scope="module")
def traced(simulated_gpu: Compile) -> Observation:
    models = {}
    for method in METHODS:
        branches, loop = (named(build("w_u4_asym_g32"), f"{method}-{what}-") for what, build in BODIES.items())
        models[f"{method}-if"], _ = exempting(branches, method, f"{method}-if-if/then_body/{method}-if-body_linear")
        models[f"{method}-loop"], _ = exempting(loop, method, f"{method}-loop-loop/body/{method}-loop-body_linear")
    (done,) = simulated_gpu([Job(merged(models), queried=True)])
    return done


BODIES: dict[str, Callable[[str], ov.Model]] = {"if": if_model, "loop": loop_model}


def named(model: ov.Model, prefix: str) -> ov.Model:
    """The model with that before the name of every node, bodies included."""
    for _, graph in graphs(model):
        for node in graph.get_ordered_ops():
            node.set_friendly_name(prefix + node.get_friendly_name())
    return model
