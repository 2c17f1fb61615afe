"""The quantizers' arithmetic: against codes and scales that the GPU plugin's own kernels made, and against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from ovpass.passes.quantizers import Quantizer
from ovpass.targets.reference_arithmetic import Array, quantized
from tests.passes.helpers import activations, outputs

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SYMMETRIC = {"sym_per_token_k512": 512, "sym_group128_k512": 128, "sym_group32_k512": 32}


def codes_and_scales(x: Array, *, symmetric: bool, half: bool, static: bool) -> list[Array]:
    """What a Quantizer along the last axis makes of `x`: codes, scale, and zero point if there is one."""
    shape = ov.PartialShape(list(x.shape) if static else [-1] * x.ndim)
    parameter = op.parameter(shape, np.float32, name="x")
    parameter.output(0).set_names({"x"})
    made = Quantizer(-1, lambda node, _: node).build(parameter, symmetric=symmetric, half=half)
    parts = [made.codes, made.scale] + ([] if made.zero_point is None else [made.zero_point])
    return outputs(ov.Model([op.result(part) for part in parts], [parameter]), {"x": x.astype(np.float32)})


def golden(name: str) -> dict[str, Array]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize(("name", "group"), SYMMETRIC.items())
def test_symmetric_codes_and_scales_are_the_kernels(name: str, group: int, static: bool) -> None:
    kernel = golden(name)
    x = kernel["x"].reshape(200, 512 // group, group)
    codes, scale = codes_and_scales(x, symmetric=True, half=True, static=static)
    assert np.array_equal(codes, kernel["q"].reshape(x.shape))
    assert np.array_equal(scale[..., 0], kernel["scale"])


@pytest.mark.parametrize("static", [False, True])
def test_asymmetric_scales_and_zero_points_are_the_kernels(static: bool) -> None:
    kernel = golden("asym_per_token_k512")
    codes, scale, zero_point = codes_and_scales(kernel["x"], symmetric=False, half=True, static=static)
    assert np.array_equal(scale, kernel["scale"])
    assert np.array_equal(zero_point, kernel["zp"])
    # the kernel's last addition is not rounded the same way everywhere: single codes are off by one
    assert (codes == kernel["q"]).mean() >= 0.999
    assert np.abs(codes - kernel["q"]).max() <= 1


@pytest.mark.parametrize("name", [*SYMMETRIC, "asym_per_token_k512"])
def test_the_numpy_reference_is_the_kernels(name: str) -> None:
    kernel = golden(name)
    groups = kernel["scale"].shape[1]
    model = quantized(kernel["x"].reshape(200, groups, -1), symmetric="zp" not in kernel, half=True)
    assert np.array_equal(model.scale[..., 0], kernel["scale"])
    agreeing = (model.codes.reshape(200, -1) == kernel["q"]).mean()
    assert agreeing == 1 if "zp" not in kernel else agreeing >= 0.999


def edge_cases() -> Array:
    """Tokens that are easy to get wrong: zeros, tiny, subnormal in half, one-sided, exact ties, large."""
    ties = np.linspace(-127, 127, 64) / 2
    rows = [
        np.zeros(64),
        np.full(64, 1e-4),
        np.linspace(-1e-3, 1e-3, 64),
        np.linspace(-6e-6, 6e-6, 64),
        np.linspace(0.5, 3, 64),
        np.linspace(-3, -0.5, 64),
        np.append(ties[:-1], 127),
        np.append(np.zeros(63), -1),
        np.linspace(-30000, 30000, 64),
        np.linspace(-1, 100, 64),
    ]
    return np.array(rows).astype(np.float16)


def tokens() -> list[Array]:
    return [edge_cases(), activations(200, 64, kind=np.float16), 0.01 * activations(200, 64)]


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_gpus_quantizers_are_their_numpy_reference(symmetric: bool) -> None:
    for x in tokens():
        codes, scale, *zero_point = codes_and_scales(x, symmetric=symmetric, half=True, static=False)
        model = quantized(x, symmetric=symmetric, half=True)
        told = np.broadcast_to(model.scale > 0, codes.shape)  # a scale of 0 leaves nothing of the codes
        assert np.array_equal(codes[told], model.codes[told])
        assert np.array_equal(scale, model.scale)
        assert all(np.array_equal(found[model.scale > 0], model.zero_point[model.scale > 0]) for found in zero_point)


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_cpus_quantizers_are_their_numpy_reference(symmetric: bool) -> None:
    for x in tokens():
        codes, scale, *zero_point = codes_and_scales(x, symmetric=symmetric, half=False, static=False)
        model = quantized(x, symmetric=symmetric, half=False)
        # the plugin may divide by a constant through its reciprocal, which moves the last bit of a scale
        np.testing.assert_allclose(scale, model.scale, rtol=2**-23, atol=0)
        values = (codes - zero_point[0] if zero_point else codes) * scale
        # and with it a code that lies midway between two
        assert (np.abs(values - model.values) <= 1.001 * model.scale).all()
        assert (codes == model.codes).mean() >= (0.99 if len(x) > 10 else 0.8)


def test_nothing_is_left_of_a_tiny_range() -> None:
    """As with the kernel, whose factor of 255 / range overflows in half precision."""
    x = np.linspace(0, 0.003, 64, dtype=np.float16)[None]
    codes, scale, zero_point = codes_and_scales(x, symmetric=False, half=True, static=False)
    assert not ((codes - zero_point) * scale).any()


def test_halves_are_rounded_as_ieee_says() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].astype(np.float32)
    midway = (np.sort(finite)[1:] + np.sort(finite)[:-1]) / 2
    x = np.concatenate([finite, midway, midway * np.float32(1 + 1e-7), activations(10000)])[None]
    parameter = op.parameter([1, -1], np.float32, name="x")
    parameter.output(0).set_names({"x"})
    rounded = Quantizer(-1, lambda node, _: node).half(parameter)
    (found,) = outputs(ov.Model([op.result(rounded)], [parameter]), {"x": x})
    assert np.array_equal(found, x.astype(np.float16).astype(np.float32))
