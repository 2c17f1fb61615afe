"""The rules of target gpu-xmx against the real GPU plugin, which compiles for an XMX device here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.errors import SettingsError
from ovpass.passes import Exempt, PassManager
from ovpass.planning.int8 import plan_int8
from ovpass.planning.native import ModelOptions, plan_native, verdict_in
from ovpass.settings.settings import Rule, Settings
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.targets import GPU_XMX
from ovpass.targets.base import NOT_COMPILED
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Observation
from tests.builders import (
    encoder_model,
    if_model,
    linear_model,
    llama_model,
    loop_model,
    pair_model,
    tensor_iterator_model,
    trio_model,
)
from tests.builders.layers import Value
from tests.simulated_gpu import Job
from tests.targets.cases import Build, codes, convert, one_matmul, reshape, scale
from tests.targets.compared import Compared
from tests.targets.gpu_table import ZOOS, compared_on_gpu

FILES = Path(__file__).resolve().parents[2] / "models" / "formats"
GROUP_SIZE = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
LARGEST = "GPU_DYNAMIC_QUANTIZATION_GROUP_SIZE_MAX"

Compile = Callable[..., list[Observation]]

CASES = [(zoo, case) for zoo, (builds, _) in ZOOS.items() for case in builds]


def asking(model: ov.Model | Path, group_size: int, **more: Any) -> Job:
    return Job(model, {GROUP_SIZE: group_size}, **more)


@pytest.fixture(scope="module")
def zoos(simulated_gpu: Compile) -> dict[tuple[str, str], Compared]:
    """One child is asked about all; that the plugin keeps to its graph is shown in test_simulated_devices.py."""
    return compared_on_gpu(GPU_XMX, simulated_gpu, queried=True)


@pytest.mark.parametrize(("zoo", "case"), CASES)
def test_verdicts_are_what_the_plugin_does(zoos: Any, zoo: str, case: str) -> None:
    assert zoos[zoo, case].said
    assert zoos[zoo, case].said == zoos[zoo, case].did


@pytest.fixture(scope="module")
def compiled(simulated_gpu: Compile) -> dict[str, Observation]:
    """Single models under single settings, by name."""
    jobs = _single_jobs()
    return dict(zip(jobs, simulated_gpu(list(jobs.values())), strict=True))


def _single_jobs() -> dict[str, Job]:
    i8, mixed = linear_model("w_i8_sym_ch"), trio_model(["w_i8_sym_ch", "w_u4_asym_g32", "w_i4_sym_g128"])
    jobs = {
        "default": Job(i8),
        "f32": Job(mixed, {"INFERENCE_PRECISION_HINT": "f32"}),
        "accuracy": Job(mixed, {"EXECUTION_MODE_HINT": "ACCURACY"}),
        "alone": asking(linear_model("w_u4_asym_g64"), 256),
        "trio": Job(trio_model("w_i4_sym_g128")),
        "pair": Job(pair_model("w_i4_sym_g128")),
        "mixed-256": asking(mixed, 256),
    }
    for tokens in (64, 65):
        jobs[f"tokens-{tokens}"] = Job(i8, shapes={"x": [1, tokens, 512]})
    jobs["tokens-8x8"] = Job(i8, shapes={"x": [8, 8, 512]})
    jobs["tokens-8x9"] = Job(i8, shapes={"x": [8, 9, 512]})
    jobs["static-1"] = Job(linear_model("w_i8_sym_ch", static_tokens=1), shapes={"x": [1, 1, 512]})
    return jobs


def test_default_is_the_targets(compiled: Mapping[str, Observation]) -> None:
    assert compiled["default"].group_size_property == GPU_XMX.default_group_size == PER_TOKEN


@pytest.mark.parametrize("setting", ["f32", "accuracy"])
def test_nothing_is_quantized_in_f32(compiled: Mapping[str, Observation], setting: str) -> None:
    assert compiled[setting].groups == dict.fromkeys(["linear_0", "linear_1", "linear_2"])
    assert {node.activation_type for node in compiled[setting].matmuls} == {"f32"}


def test_a_model_alone_compiles_as_in_the_zoo(compiled: Mapping[str, Observation]) -> None:
    assert compiled["alone"].groups == {"linear": 64}


@pytest.mark.parametrize(("model", "nodes", "quantizers"), [("trio", 1, 1), ("pair", 2, 1), ("mixed-256", 3, 2)])
def test_one_activation_is_quantized_once_a_group_size(
    compiled: Mapping[str, Observation], model: str, nodes: int, quantizers: int
) -> None:
    assert (len(compiled[model].matmuls), compiled[model].quantizers) == (nodes, quantizers)


def executed(done: Observation) -> list[bool]:
    """Whether each quantizer ran."""
    return [ran for run in done.runs for ran in run.executed.values()]


@pytest.mark.parametrize("what", ["tokens-64", "tokens-8x8"])
def test_tokens_up_to_the_threshold_are_left_alone(compiled: Mapping[str, Observation], what: str) -> None:
    assert GPU_XMX.default_threshold == 64
    assert executed(compiled[what]) == [False]


@pytest.mark.parametrize("what", ["tokens-65", "tokens-8x9", "static-1"])
def test_more_tokens_and_static_shapes_are_quantized(compiled: Mapping[str, Observation], what: str) -> None:
    assert executed(compiled[what]) == [True]


def test_threshold_is_an_environment_variable(simulated_gpu: Compile) -> None:
    environment = {"OV_GPU_DYNAMIC_QUANTIZATION_THRESHOLD": "128"}
    model = linear_model("w_i8_sym_ch")
    jobs = [Job(model, environment=environment, shapes={"x": [1, tokens, 512]}) for tokens in (128, 129)]
    assert [executed(done) for done in simulated_gpu(jobs)] == [[False], [True]]


# (K, the largest group beyond K that has a kernel)
BEYOND_K = [(512, 4223), (576, 2111), (544, 1055)]


@pytest.fixture(scope="module")
def inferred(simulated_gpu: Compile) -> dict[tuple[int, int], Observation]:
    """Infers of 65 tokens, by K and group size."""
    pairs = [(k, group) for k, limit in BEYOND_K for group in (limit, limit + 1, 2**32 - 1)]
    pairs += [(8192, 8192), (8448, 4224), (4160, 2080)]  # not beyond K: no limit
    jobs = [asking(linear_model("w_i8_sym_ch", k=k, n=16), g, shapes={"x": [1, 65, k]}) for k, g in pairs]
    return dict(zip(pairs, simulated_gpu(jobs), strict=True))


def test_refused_for_want_of_a_kernel_where_infer_throws(inferred: Mapping[tuple[int, int], Observation]) -> None:
    for (k, group), done in inferred.items():
        (site,) = find_compressed_matmuls(linear_model("w_i8_sym_ch", k=k, n=16))
        verdict = GPU_XMX.verdict(site, group)
        assert verdict.throws == (done.error is not None), (k, group, done.error)
        assert verdict.eligible == (executed(done) == [True]), (k, group)


def static_batches(fmt: str, shape: Sequence[int]) -> ov.Model:
    """A MatMul of static shapes with weights [4, N, K]."""
    steps = {"u8": batch_of("u8"), "u4 in groups": batch_of("u4", 128), "u4 in groups of 16": batch_of("u4", 16)}
    return one_matmul(steps[fmt](), shape=shape)


def batch_of(kind: str, group: int = 512) -> Callable[[], Value]:
    """Makes asymmetric weights [4, 64, 512] of a type, with a Reshape where they have groups."""
    shape = (4, 64, 512) if group == 512 else (4, 64, 512 // group, group)

    def build() -> Value:
        of_group = (*shape[:-1], 1)
        shifted = op.subtract(convert(codes(shape, kind)), convert(codes(of_group, kind)))
        scaled = op.multiply(shifted, scale(of_group))
        return scaled if group == 512 else reshape(scaled, 4, 64, 512)

    return build


STATIC_BATCHES = [
    (fmt, shape, group)
    for fmt, group in (("u8", 64), ("u8", 16), ("u4 in groups", 64), ("u4 in groups of 16", 64))
    for shape in ([70, 512], [4, 70, 512], [1, 70, 512], [2, 4, 70, 512])
] + [("u4 in groups of 16", [4, 70, 512], PER_TOKEN)]
EXEMPT_BATCHES = [
    (fmt, shape, method)
    for fmt in ("u8", "u4 in groups")
    for shape in ([4, 70, 512], [2, 4, 70, 512])
    for method in ("precise", "f16-weights")
]


@pytest.fixture(scope="module")
def static_zoo(simulated_gpu: Compile) -> list[Observation]:
    plain = [asking(static_batches(fmt, shape), group) for fmt, shape, group in STATIC_BATCHES]
    exempt = [
        asking(PassManager([Exempt({"linear": method})]).run(static_batches(fmt, shape)).model, 64)
        for fmt, shape, method in EXEMPT_BATCHES
    ]
    return simulated_gpu([*plain, *exempt])


def test_static_batches_are_refused_where_the_plugin_throws(static_zoo: Sequence[Observation]) -> None:
    for (fmt, shape, group), done in zip(STATIC_BATCHES, static_zoo, strict=False):
        (site,) = find_compressed_matmuls(static_batches(fmt, shape))
        verdict = GPU_XMX.verdict(site, group)
        assert (verdict.rule == NOT_COMPILED) == (done.error is not None), (fmt, shape, group, verdict, done.error)
        if done.error is None:
            assert done.groups.get("linear") == verdict.group_size


def test_static_batches_are_exempted_so_that_they_compile(static_zoo: Sequence[Observation]) -> None:
    for (fmt, shape, method), done in zip(EXEMPT_BATCHES, static_zoo[len(STATIC_BATCHES) :], strict=True):
        sites = find_compressed_matmuls(static_batches(fmt, shape))
        settings = Settings(rules=(Rule("linear", exempt=True),), exempt_with=method)
        refused = False
        try:
            plan_native(sites, settings, ModelOptions())
        except SettingsError:
            refused = True
        assert refused == (done.error is not None), (fmt, shape, method, done.error)


@pytest.mark.parametrize("method", ["rank-4", "f16-zero-point"])
def test_other_ways_of_exempting_static_batches_are_refused(method: str) -> None:
    sites = find_compressed_matmuls(static_batches("u8", [4, 70, 512]))
    with pytest.raises(SettingsError, match="not compile"):
        plan_native(sites, Settings(rules=(Rule("linear", exempt=True),), exempt_with=method), ModelOptions())
    with pytest.raises(SettingsError, match="use lowering native"):
        plan_int8(sites, Settings(lowering="int8"))


def test_a_plan_under_which_the_model_does_not_compile_is_refused() -> None:
    of_16 = find_compressed_matmuls(static_batches("u4 in groups of 16", [4, 70, 512]))
    (decision,) = plan_native(of_16, Settings(), ModelOptions()).decisions
    assert decision.group_size == PER_TOKEN
    of_rank_4 = find_compressed_matmuls(static_batches("u8", [2, 4, 70, 512]))
    for sites, settings in ((of_16, Settings(group_size=64)), (of_rank_4, Settings())):
        with pytest.raises(SettingsError, match="exempt it"):
            plan_native(sites, settings, ModelOptions())
        (decision,) = plan_native(
            sites, replace(settings, rules=(Rule("linear", exempt=True),)), ModelOptions()
        ).decisions
        assert decision.method == ("precise" if sites is of_rank_4 else "f16-weights")


@pytest.mark.parametrize("asked", [32, 64, 128, PER_TOKEN])
@pytest.mark.parametrize("largest", [64, 128])
def test_largest_group_size_of_the_ir(largest_zoo: Any, asked: int, largest: int) -> None:
    sites, done = largest_zoo
    options = ModelOptions(largest_group_size=largest)
    said = {site.name: verdict_in(GPU_XMX, site, asked, options).group_size for site in sites}
    assert said == done[asked, largest].groups


@pytest.fixture(scope="module")
def largest_zoo(simulated_gpu: Compile) -> tuple[list[CompressedMatMul], dict[tuple[int, int], Observation]]:
    jobs = {}
    sites: list[CompressedMatMul] = []
    for largest in (64, 128):
        model = trio_model(["w_i8_sym_ch", "w_u4_asym_g32", "w_i4_sym_g128"])
        model.set_rt_info(str(largest), ["runtime_options", LARGEST])
        sites = find_compressed_matmuls(model)
        jobs.update({(asked, largest): asking(model, asked) for asked in (32, 64, 128, PER_TOKEN)})
    return sites, dict(zip(jobs, simulated_gpu(list(jobs.values())), strict=True))


def test_group_size_of_the_ir_is_obeyed_and_a_property_wins(simulated_gpu: Compile) -> None:
    model = linear_model("w_i8_sym_ch")
    model.set_rt_info("128", ["runtime_options", GROUP_SIZE])
    groups = [done.groups["linear"] for done in simulated_gpu([Job(model), asking(model, 32)])]
    assert groups == [128, 32]


def test_precise_matmuls_are_left_alone(simulated_gpu: Compile, tmp_path: Path) -> None:
    path = tmp_path / "precise.xml"
    ov.save_model(linear_model("w_i8_sym_ch"), path, compress_to_fp16=False)
    head, tail = path.read_text(encoding="utf-8").split('name="linear"', 1)
    opening, rest = tail.split("<input>", 1)
    mark = '<rt_info><attribute name="precise" version="0"/></rt_info><input>'
    path.write_text(f'{head}name="linear"{opening}{mark}{rest}', encoding="utf-8")
    (site,) = find_compressed_matmuls(ov.Core().read_model(path))
    (done,) = simulated_gpu([Job(path)])
    assert done.groups == {"linear": GPU_XMX.verdict(site, PER_TOKEN).group_size} == {"linear": None}


@pytest.mark.parametrize("asked", [64, PER_TOKEN])
def test_bodies_are_quantized_like_the_main_graph(traced: Any, asked: int) -> None:
    for sites, done in traced[asked]:
        said = {site.name: GPU_XMX.verdict(site, asked).group_size for site in sites}
        assert said == done.groups
        assert set(said.values()) == {32 if asked == 64 else PER_TOKEN}


@pytest.fixture(scope="module")
def traced(simulated_gpu: Compile) -> dict[int, list[tuple[list[CompressedMatMul], Observation]]]:
    models = [if_model("w_u4_asym_g32"), loop_model("w_u4_asym_g32"), tensor_iterator_model("w_u4_asym_g32")]
    sites = [find_compressed_matmuls(model) for model in models]
    jobs = [asking(model, asked, queried=True) for asked in (64, PER_TOKEN) for model in models]
    done = simulated_gpu(jobs)
    return {64: list(zip(sites, done[:3], strict=True)), PER_TOKEN: list(zip(sites, done[3:], strict=True))}


WHOLE_MODELS: dict[str, Build] = {
    "llama": llama_model,
    "llama-bare": lambda: llama_model(bare_names=True, fmt="w_u4_asym_g32"),
    "llama-stateless": lambda: llama_model(stateful=False, fmt="w_i8_sym_ch"),
    "encoder": encoder_model,
}


@pytest.fixture(scope="module")
def whole_models(simulated_gpu: Compile) -> dict[str, tuple[list[CompressedMatMul], Observation]]:
    models = {name: build() for name, build in WHOLE_MODELS.items()}
    done = simulated_gpu([asking(model, 64, queried=True) for model in models.values()])
    return {
        name: (find_compressed_matmuls(model), answer)
        for (name, model), answer in zip(models.items(), done, strict=True)
    }


@pytest.mark.parametrize("name", WHOLE_MODELS)
def test_whole_models(whole_models: Any, name: str) -> None:
    sites, done = whole_models[name]
    said = {site.name: GPU_XMX.verdict(site, 64).group_size for site in sites}
    assert {site: done.groups[site] for site in said} == said


def test_a_dynamic_rank_is_refused_where_the_plugin_throws(simulated_gpu: Compile) -> None:
    model = linear_model("w_i8_sym_ch")
    model.get_parameters()[0].set_partial_shape(ov.PartialShape.dynamic())
    model.validate_nodes_and_infer_types()
    (site,) = find_compressed_matmuls(model)
    (done,) = simulated_gpu([Job(model)])
    assert done.error is not None
    assert not GPU_XMX.verdict(site, PER_TOKEN).eligible
