"""Adapters that OpenVINO GenAI adds to an applied model do there what they do to the original."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai as genai
import pytest
from openvino import opset13 as op

import ovpass
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Observation
from tests.builders import linear_model
from tests.documents import ROOT
from tests.integrations.adapters import write_adapter
from tests.simulated_gpu import Job

pytestmark = pytest.mark.slow

Compile = Callable[[Sequence[Job], float | None], list[Observation]]

MODEL = ROOT / "models/tiny-llama-int4"
KINDS = ("attn.q", "attn.v", "mlp.down")
F32 = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "ATTENTION_BACKEND": "SDPA"}
"""No group size, which would overrule the IR's own: applied models quantize here."""
UNQUANTIZED = {"DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
LIKELIEST = 64
ROUNDING, ADAPTING = 0.1, 0.3
"""Of log-probabilities: what 8 bits may change (0.01 to 0.04 measured), and what the adapter does at least (0.8)."""
PROMPT = ov.Tensor(np.array([[1, 5, 9, 40, 77, 30]], np.int64))
MODES = ("MODE_STATIC", "MODE_STATIC_RANK", "MODE_DYNAMIC")


def exempting(method: str, target: str = "gpu-xmx") -> ovpass.Settings:
    rules = tuple(ovpass.Rule(f"kind:{kind}", exempt=True) for kind in ("mlp.down", "attn"))
    return ovpass.Settings(group_size=32, target=target, exempt_with=method, rules=rules)


SETTINGS = {
    "native": ovpass.Settings(group_size=32),
    "rank-4": exempting("rank-4"),
    "precise": exempting("precise"),
    "f16-weights": exempting("f16-weights"),
    "f16-zero-point": exempting("f16-zero-point", "cpu"),
    "cap": ovpass.Settings(group_size=128, rules=(ovpass.Rule("kind:attn", group_size=32),)),
    "int8": ovpass.Settings(lowering="int8", requantize=True),
    "int8-cpu": ovpass.Settings(lowering="int8", requantize=True, target="cpu"),
    "emulate": ovpass.Settings(lowering="emulate", group_size=32, threshold=0),
}


IN_ALL_MODES = ("native", "rank-4", "int8", "emulate")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> genai.Adapter:
    path = tmp_path_factory.mktemp("adapter") / "adapter_model.safetensors"
    assert write_adapter(ov.Core().read_model(MODEL / "openvino_model.xml"), KINDS, path) == 6
    return genai.Adapter(path)


def predictions(folder: Path, config: genai.AdapterConfig | None, **properties: str) -> dict[int, float]:
    """Log-probabilities of the likeliest first tokens, as beam search scores them."""
    adapters = {} if config is None else {"adapters": config}
    pipeline = genai.LLMPipeline(folder, "CPU", **F32, **properties, **adapters)
    beams = {"num_beams": LIKELIEST, "num_return_sequences": LIKELIEST}
    found = pipeline.generate(PROMPT, max_new_tokens=1, ignore_eos=True, **beams)
    return {tokens[0]: score for tokens, score in zip(found.tokens, found.scores, strict=True)}


def apart(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """The root mean square of differences, over tokens that both think likely."""
    shared = one.keys() & other.keys()
    return float(np.sqrt(np.mean([(one[token] - other[token]) ** 2 for token in shared])))


def with_mode(adapter: genai.Adapter, mode: str, alpha: float = 1.0) -> genai.AdapterConfig:
    return genai.AdapterConfig(adapter, alpha, getattr(genai.AdapterConfig.Mode, mode))


@pytest.fixture(scope="module")
def expected(adapter: genai.Adapter) -> dict[int, float]:
    return predictions(MODEL, with_mode(adapter, "MODE_STATIC"), **UNQUANTIZED)


def test_the_adapter_and_its_strength_show(adapter: genai.Adapter, expected: dict[int, float]) -> None:
    plain = predictions(MODEL, None, **UNQUANTIZED)
    half = predictions(MODEL, with_mode(adapter, "MODE_STATIC", 0.5), **UNQUANTIZED)
    assert min(apart(expected, plain), apart(expected, half), apart(half, plain)) > ADAPTING


@pytest.mark.vnni(not_for="emulate")
@pytest.mark.parametrize("name", SETTINGS)
def test_an_applied_model_takes_adapters(
    name: str, adapter: genai.Adapter, expected: dict[int, float], tmp_path: Path
) -> None:
    """It says what the original says, but for the rounding of activations, which is really done."""
    ovpass.transform(MODEL, tmp_path / "applied", SETTINGS[name])
    for mode in MODES if name in IN_ALL_MODES else ["MODE_AUTO"]:
        assert 0.001 < apart(predictions(tmp_path / "applied", with_mode(adapter, mode)), expected) < ROUNDING, mode
    assert apart(predictions(tmp_path / "applied", None), expected) > ADAPTING


def test_fusing_into_compressed_weights_fails_with_or_without_ovpass(adapter: genai.Adapter, tmp_path: Path) -> None:
    ovpass.transform(MODEL, tmp_path / "applied", SETTINGS["native"])
    for folder in (MODEL, tmp_path / "applied"):
        with pytest.raises(RuntimeError, match="MODE_FUSE"):
            predictions(folder, with_mode(adapter, "MODE_FUSE"))


def with_branch(settings: ovpass.Settings) -> ov.Model:
    """An applied MatMul with an adapter beside it, as GenAI adds one: on the MatMul's own input and output."""
    original = linear_model("w_i8_sym_ch")
    model = ovpass.apply(original, ovpass.make_plan(original, settings))
    matmul = next(node for node in model.get_ops() if node.get_friendly_name() == "linear")
    consumers = list(matmul.output(0).get_target_inputs())
    down, up = (op.constant(np.ones(shape, np.float32)) for shape in ((8, 512), (64, 8)))
    branch = op.matmul(op.matmul(matmul.input_value(0), down, False, True), up, False, True)
    added = op.add(matmul, branch)
    for consumer in consumers:
        consumer.replace_source_output(added.output(0))
    model.validate_nodes_and_infer_types()
    return model


def test_beside_an_adapter_the_gpu_does_as_planned(simulated_gpu: Compile) -> None:
    settings = {
        ("i8", PER_TOKEN): ovpass.Settings(),
        ("f16", None): ovpass.Settings(rules=(ovpass.Rule("linear", exempt=True),)),
        ("i8", None): ovpass.Settings(lowering="int8"),
    }
    found = simulated_gpu([Job(with_branch(each)) for each in settings.values()], None)
    for wanted, seen in zip(settings, found, strict=True):
        (matmul,) = (matmul for matmul in seen.matmuls if "linear" in matmul.names)
        assert (matmul.activation_type, matmul.group_size) == wanted
