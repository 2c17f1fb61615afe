"""Plot a heat map of a model: blocks by kinds, coloured by cost."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovpass.sites import KINDS
from ovpass.support.extras import extra_module
from ovpass.support.plotting import new_figure, save_figure
from ovpass.tuning.sensitivity import SensitivityReport

_SHADES = " .:-=+*#%@"


@dataclass(frozen=True)
class HeatMap:
    """KL divergences `values[row][column]`, None where there is no such layer; sites of a cell are added up."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and largest value above 0."""
        found = [value for row in self.values for value in row if value]
        return (min(found), max(found)) if found else (1.0, 1.0)

    def shade(self, value: float) -> float:
        """0 to 1 on a logarithmic scale: costs of sites lie orders of magnitude apart."""
        low, high = self.range
        if value <= low or low == high:
            return 0.0 if value < high else 1.0
        return math.log(value / low) / math.log(high / low)


def heat_map(report: SensitivityReport) -> HeatMap:
    """Blocks as rows and kinds as columns; sites of no block in a last row."""
    cells: dict[tuple[int, str], float] = defaultdict(float)
    for entry in report.ranking:
        if entry.unit.kind is not None:
            layer = -1 if entry.unit.layer is None else entry.unit.layer
            cells[layer, entry.unit.kind] += max(entry.costs.trimmed, 0.0)
    layers = sorted({layer for layer, _ in cells}, key=lambda layer: (layer < 0, layer))
    kinds = [kind for kind in KINDS if any(found == kind for _, found in cells)]
    return HeatMap(
        rows=tuple("-" if layer < 0 else str(layer) for layer in layers),
        columns=tuple(kinds),
        values=tuple(tuple(cells.get((layer, kind)) for kind in kinds) for layer in layers),
    )


def shades(values: HeatMap) -> list[list[str]]:
    """The map in characters, darker for costlier, for terminals and pipes alike."""
    last = len(_SHADES) - 1
    return [
        ["" if value is None else _SHADES[max(1, round(values.shade(value) * last))] * 3 for value in row]
        for row in values.values
    ]


def save_heat_map(values: HeatMap, path: Path) -> None:
    """Draw the map.

    Raises:
        ExtraError: if matplotlib is missing.
        OutputError: if the file cannot be written.
    """
    colors = extra_module("matplotlib.colors", "plot", "--plot")
    low, high = values.range
    figure = new_figure(1.5 + 0.9 * len(values.columns), 1.8 + 0.28 * len(values.rows))
    axes = figure.subplots()
    numbers = [[math.nan if value is None else max(value, low) for value in row] for row in values.values]
    image = axes.imshow(numbers, aspect="auto", cmap="viridis", norm=colors.LogNorm(low, max(high, low * 1.001)))
    axes.set_xticks(range(len(values.columns)), _labels(values.columns), rotation=45, ha="right")
    axes.set_yticks(range(len(values.rows)), _labels(values.rows))
    axes.set_ylabel("block")
    axes.set_title("KL divergence of each layer quantized alone")
    figure.colorbar(image, ax=axes, label="nats per token")
    save_figure(figure, path)


def _labels(names: Sequence[str]) -> list[str]:
    return [name.replace("$", r"\$") for name in names]
