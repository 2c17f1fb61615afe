"""The heat map: what its cells hold, and the picture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ovpass.errors import ExtraError, OutputError
from ovpass.tuning.heatmap import HeatMap, heat_map, save_heat_map, shades
from ovpass.tuning.sensitivity import Sensitivity, SensitivityReport
from ovpass.tuning.switched_model import Cost
from ovpass.tuning.units import Unit

PNG = b"\x89PNG\r\n\x1a\n"


def entry(kind: str | None, layer: int | None, cost: float, name: str = "x") -> Sensitivity:
    unit, costs = Unit(name, (name,), kind, layer), Cost(9, cost, 9, 9)
    return Sensitivity(unit, 32, per_token=False, costs=costs, saves=None, facts=None, screened=False)


def report(*entries: Sensitivity) -> SensitivityReport:
    return SensitivityReport("model", "site", Cost(0, 0, 0, 0), entries, {}, 1)


def two_blocks() -> HeatMap:
    return heat_map(
        report(
            entry("lm_head", None, 1e-1),
            entry("mlp.down", 10, 1e-2),
            entry("mlp.down", 2, 1e-4),
            entry("attn.q", 2, 0.0),
            entry("other", 2, 1e-3, "a"),
            entry("other", 2, 2e-3, "b"),
        )
    )


def test_cells_are_blocks_by_kinds() -> None:
    found = two_blocks()
    assert found.rows == ("2", "10", "-")
    assert found.columns == ("attn.q", "mlp.down", "lm_head", "other")
    assert found.values[0] == pytest.approx((0.0, 1e-4, None, 3e-3))
    assert found.values[1:] == ((None, 1e-2, None, None), (None, None, 1e-1, None))
    assert found.range == (1e-4, 1e-1)


def test_shades_are_logarithmic() -> None:
    found = two_blocks()
    assert [found.shade(value) for value in (0.0, 1e-4, 1e-1)] == [0, 0, 1]
    assert found.shade(10**-2.5) == pytest.approx(0.5)
    characters = [cell for row in shades(found) for cell in row]
    assert characters.count("") == 7
    assert all(cell.strip() for cell in characters if cell)  # what costs nothing is not what is not there
    assert shades(found)[2][2] == "@@@"


def test_kinds_and_blocks_make_no_map() -> None:
    assert heat_map(report(entry(None, None, 1.0))).rows == ()


@pytest.mark.parametrize("costs", [(0.0, 0.0), (1e-3, 1e-3), (1e-6, 1.0)], ids=["free", "equal", "far apart"])
def test_a_picture(tmp_path: Path, costs: tuple[float, float]) -> None:
    path = tmp_path / "map.png"
    path.write_text("an older one")
    save_heat_map(heat_map(report(entry("attn.q", 0, costs[0]), entry("mlp.up", 1, costs[1]))), path)
    assert path.read_bytes().startswith(PNG)
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "map.png").mkdir()
    with pytest.raises(OutputError, match=r"map\.png"):
        save_heat_map(two_blocks(), tmp_path / "map.png")
    assert [path.name for path in tmp_path.rglob("*")] == ["map.png"]


def test_matplotlib_is_an_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ExtraError, match=r"ovpass\[plot\]"):
        save_heat_map(two_blocks(), tmp_path / "map.png")
    assert not list(tmp_path.iterdir())
