"""The rules of target gpu-no-xmx, one by one.

They are from OpenVINO's source, fully_connected_kernel_bf_tiled.cpp above all. The plugin's kernels show which sites
are quantized, not in what groups: test_simulated_devices.py compares these.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.targets import GPU_NO_XMX
from ovpass.targets.group_sizes import PER_TOKEN
from tests.builders import WeightFormat, linear_model
from tests.targets.cases import flat, grouped
from tests.targets.scaled_cases import multiplied, scaled


def site(kind: str = "u4", group: int | None = 128, asymmetric: bool = True, k: int = 512) -> CompressedMatMul:
    fmt = WeightFormat("", kind, group, "group" if asymmetric else None)
    (found,) = find_compressed_matmuls(linear_model(fmt, k=k, n=16))
    return found


def granted(of: CompressedMatMul, asked: int) -> int | None:
    return GPU_NO_XMX.verdict(of, asked).group_size


@pytest.mark.parametrize("kind", ["i4", "u4"])
@pytest.mark.parametrize("asymmetric", [False, True])
def test_4_bit_weights_are_quantized_for(kind: str, asymmetric: bool) -> None:
    assert granted(site(kind, asymmetric=asymmetric), 32) == 32


@pytest.mark.parametrize(("kind", "asymmetric"), [("u8", False), ("i8", False), ("i8", True), ("u2", True)])
def test_other_weights_are_not(kind: str, asymmetric: bool) -> None:
    assert GPU_NO_XMX.verdict(site(kind, asymmetric=asymmetric), 32).rule == "weight-type"


def test_asymmetric_u8_weights_are() -> None:
    assert granted(site("u8"), 32) == 32


@pytest.mark.parametrize("name", ["w_nf4_g128", "w_f8e4m3_g128", "w_cb4_g64_f16table"])
def test_float_and_codebook_weights_are_not(name: str) -> None:
    (found,) = find_compressed_matmuls(linear_model(name))
    assert GPU_NO_XMX.verdict(found, 32).rule == "weight-type"


def test_default_group_is_32() -> None:
    assert GPU_NO_XMX.default_group_size == 32


def test_group_size_0_is_off() -> None:
    assert GPU_NO_XMX.verdict(site(), 0).rule == "off"


@pytest.mark.parametrize(("asked", "used"), [(32, 32), (48, 32), (64, 64), (100, 64), (128, 128), (1024, 128)])
def test_the_kernels_largest_group_within_the_setting(asked: int, used: int) -> None:
    assert granted(site(group=128), asked) == used


@pytest.mark.parametrize(("own", "used"), [(32, 32), (64, 64), (96, 32), (192, 64), (256, 128), (None, 128)])
def test_the_kernels_group_divides_the_weights_own(own: int | None, used: int) -> None:
    assert granted(site(group=own, k=768), 128) == used


@pytest.mark.parametrize("asked", [1, 16, 31])
def test_smaller_settings_switch_it_off(asked: int) -> None:
    assert GPU_NO_XMX.verdict(site(), asked).rule == "no-group"


@pytest.mark.parametrize("own", [16, 48])
def test_weight_groups_must_be_multiples_of_32(own: int) -> None:
    assert GPU_NO_XMX.verdict(site(group=own, k=576 if own == 48 else 512), 32).rule == "weight-group"


@pytest.mark.parametrize(("own", "used"), [(32, 32), (128, 128), (None, 512)])
def test_per_token_is_the_weights_own_group(own: int | None, used: int) -> None:
    assert granted(site(group=own), PER_TOKEN) == used


def test_per_token_is_capped_by_the_zero_points_group() -> None:
    assert granted(replace(site(group=128), zero_point_group_size=64), PER_TOKEN) == 64


@pytest.mark.parametrize("asymmetric", [False, True])
@pytest.mark.parametrize("asked", [64, PER_TOKEN])
def test_no_zero_point_is_the_reason_for_its_groups(asymmetric: bool, asked: int) -> None:
    verdict = GPU_NO_XMX.verdict(site("i4", group=32, asymmetric=asymmetric), asked)
    assert verdict.group_size == 32
    assert "zero point" not in verdict.reason
    assert "weights'" in verdict.reason


def test_weights_must_be_the_second_input() -> None:
    (found,) = find_compressed_matmuls(linear_model("w_u4_asym_g128", weights_on_input0=True))
    assert GPU_NO_XMX.verdict(found, 32).rule == "weights-first"


@pytest.mark.parametrize(("rank", "eligible"), [(1, False), (2, True), (3, True), (4, False)])
def test_activations_have_rank_2_or_3(rank: int, eligible: bool) -> None:
    (found,) = find_compressed_matmuls(linear_model("w_u4_asym_g128", rank=rank))
    assert GPU_NO_XMX.verdict(found, 32).eligible == eligible


@pytest.mark.parametrize(("tokens", "eligible"), [(1, False), (256, False), (257, True)])
def test_static_shapes_need_more_than_256_tokens(tokens: int, eligible: bool) -> None:
    (found,) = find_compressed_matmuls(linear_model("w_u4_asym_g128", static_tokens=tokens))
    assert GPU_NO_XMX.verdict(found, 32).eligible == eligible


def test_precise_layers_are_left_alone() -> None:
    assert GPU_NO_XMX.verdict(replace(site(), precise=True), 32).rule == "precise"


def test_factors_that_are_folded_into_the_weights_leave_nothing_to_quantize_for() -> None:
    (found,) = find_compressed_matmuls(scaled(multiplied(), weight=lambda: flat(grouped())))
    assert GPU_NO_XMX.verdict(found, 32).rule == "folded-factor"
