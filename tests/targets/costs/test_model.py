"""Expected times: possible numbers, growing with what there is to do, for all shipped calibrations."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovpass.sites import find_compressed_matmuls
from ovpass.targets.costs import Calibration, Work, expected_ratio, load_calibration, product_time, site_work
from ovpass.targets.costs.calibration import EIGHT_BITS, FOLDER, FOUR_BITS, INT8
from ovpass.targets.costs.work import element_bits
from tests.builders import linear_model

SHIPPED = [load_calibration(path) for path in sorted(FOLDER.glob("*.json"))]
calibrations = st.sampled_from(SHIPPED)
sizes = st.integers(1, 200_000)
tokens = st.integers(1, 100_000)


@given(calibrations, sizes, sizes, tokens)
def test_ratios_are_positive_and_finite(calibration: Calibration, k: int, n: int, count: int) -> None:
    ratio = expected_ratio(calibration, k, n, count)
    assert 0 < ratio < math.inf


@given(calibrations, st.data(), sizes, sizes, tokens)
def test_more_of_anything_takes_longer(
    calibration: Calibration, data: st.DataObject, k: int, n: int, more: int
) -> None:
    constants = calibration.variants[data.draw(st.sampled_from(sorted(calibration.variants)))]
    count = data.draw(tokens)
    time = product_time(constants, Work.per_channel(k, n), count)
    for work, times in (
        (Work.per_channel(k + more, n), count),
        (Work.per_channel(k, n + more), count),
        (Work.per_channel(k, n), count + more),
    ):
        assert product_time(constants, work, times) > time


@pytest.mark.parametrize("calibration", SHIPPED, ids=lambda calibration: str(calibration.device))
def test_large_products_of_many_tokens_gain_what_the_instructions_are_faster(calibration: Calibration) -> None:
    rates = calibration.variants[INT8].mac / calibration.variants[EIGHT_BITS].mac
    # What is beside the products is below a percent there.
    assert expected_ratio(calibration, 2**16, 2**16, 2**14) == pytest.approx(rates, rel=0.01)
    assert expected_ratio(calibration, 64, 64, 4) > 1


@pytest.mark.parametrize(
    ("fmt", "codes", "beside"),
    [
        ("w_i8_sym_ch", 512 * 64, 64 * 4),  # scales in f32 or f16
        ("w_u8_asym_ch", 512 * 64, 64 * (4 + 1)),
        ("w_u4_asym_g64", 512 * 64 / 2, 64 * 8 * (4 + 0.5)),
    ],
)
def test_bytes_are_those_that_are_stored(fmt: str, codes: float, beside: float) -> None:
    (site,) = find_compressed_matmuls(linear_model(fmt))
    work = site_work(site)
    assert work.macs == 512 * 64
    assert codes < work.weight_bytes <= codes + beside


@pytest.mark.parametrize(
    ("name", "bits"), [("u4", 4), ("i8", 8), ("nf4", 4), ("f8e4m3", 8), ("bf16", 16), ("f4e2m1", 4)]
)
def test_bits(name: str, bits: int) -> None:
    assert element_bits(name) == bits


def test_four_bits_take_less_to_read_and_more_to_unpack() -> None:
    for calibration in SHIPPED:
        if FOUR_BITS not in calibration.variants:
            continue
        eight, four = calibration.variants[EIGHT_BITS], calibration.variants[FOUR_BITS]
        packed = Work(4096, 4096, 4096 * 4096 * 0.53)
        assert four.weight_byte > eight.weight_byte
        assert product_time(four, packed, 1) < product_time(eight, Work.per_channel(4096, 4096), 1)
