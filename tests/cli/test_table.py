"""Tables fit, and fold where they should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovpass.cli.table import fold, make_table

NAME = "__module.model.decoder.layers.0.encoder_attn.k_proj/aten::linear/MatMul"


def lines(
    columns: list[str], rows: list[list[str]], numeric: tuple[str, ...] = (), width: int | None = 80
) -> list[str]:
    return make_table(columns, rows, numeric, width).plain.splitlines()


def test_what_fits_is_not_folded() -> None:
    assert fold(NAME, len(NAME)) == [NAME]
    assert fold(" indented", 9) == [" indented"]
    assert len(lines(["Site", "Kind"], [["MatMul_1", "attn.q"], ["MatMul_2", "mlp.down"]])) == 4


def test_names_are_folded_at_their_joints() -> None:
    assert fold(NAME, 30) == ["__module.model.decoder.layers.", "0.encoder_attn.k_proj/aten::", "linear/MatMul"]
    assert fold("no joints here but spaces", 10) == ["no joints", "here but", "spaces"]
    assert fold("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]


@given(st.text("ab./:_ ", min_size=1), st.integers(1, 30))
def test_nothing_is_lost_in_folding(text: str, width: int) -> None:
    folded = fold(text, width)
    assert "".join(folded).replace(" ", "") == text.replace(" ", "")
    assert all(len(line) <= width for line in folded)


def test_long_cells_share_the_room_and_numbers_stay_whole() -> None:
    rows = [[NAME, "attn.k", "12345678", "the weights' own group of 32 is not a multiple of group size 64"]] * 2
    table = lines(["Site", "Kind", "Layer", "Reason"], rows, ("Layer",))
    assert max(map(len, table)) <= 80
    assert sum("12345678" in line for line in table) == 2
    assert any("attn.k " in line for line in table)


@pytest.mark.parametrize("width", [40, 60, 120])
def test_numbers_are_aligned_at_the_right(width: int) -> None:
    table = lines(["Target", "Reason", "Count"], [["cpu", NAME, "7"], ["gpu", NAME, "12345"]], ("Count",), width)
    assert max(map(len, table)) <= width
    ends = {len(line) for line in table if line.endswith(("7", "12345", "Count"))}
    assert len(ends) == 1


def test_names_that_do_not_fit_stand_above_their_rows() -> None:
    rows = [[NAME, "attn.k", "7"], ["lm_head", "lm_head", "12345"]]
    assert lines(["Site", "Kind", "Count"], rows, ("Count",), 60) == [
        " Site",
        "     Kind      Count",
        f" {'─' * 19}",
        f" {NAME}",
        "     attn.k        7",
        " lm_head",
        "     lm_head   12345",
    ]


@pytest.mark.parametrize("width", [10, 20, 40])
def test_nothing_is_cropped_where_there_is_no_room(width: int) -> None:
    columns = ["Site", "Kind", "Layer", "Costs", "Outliers"]
    text = "\n".join(lines(columns, [[NAME, "mlp.down", "0", "8.7e-05", "3510x"]], ("Layer", "Costs"), width))
    assert all(cell in text for cell in (*columns, NAME, "mlp.down", "8.7e-05", "3510x"))


def test_without_a_width_each_row_is_one_line() -> None:
    rows = [[NAME, "the weights' own group of 32 is not a multiple of group size 64 " * 5]] * 2
    assert len(lines(["Site", "Reason"], rows, width=None)) == 4
