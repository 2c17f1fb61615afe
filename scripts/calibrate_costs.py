"""Fit the cost model to this CPU: ovpass/targets/costs/calibrations/<device>.json.

python scripts/calibrate_costs.py                              # measures, which takes half an hour on a quiet machine
python scripts/calibrate_costs.py --grid grid.json --int4 int4.json

The files are what `bench_int8.py --grid --json` and `bench_int8.py --int4 --json` print. Non-negative least squares in
relative error. Without --int4 (and with --grid) there will be no constants for 4-bit weights.
"""

from __future__ import annotations

import ast
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy.optimize import nnls

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ovpass.support.cpu_features import has_amx  # noqa: E402
from ovpass.targets.costs import Calibration, Constants, Shared, Work, product_time, quantization_time  # noqa: E402
from ovpass.targets.costs.calibration import (  # noqa: E402
    EIGHT_BITS,
    FOLDER,
    FOUR_BITS,
    INT8,
    OWN_EIGHT_BITS,
    OWN_FOUR_BITS,
    Residual,
    calibration_to_dict,
)
from ovpass.targets.costs.model import spread  # noqa: E402

MEASURED = ("default", "dq", "int8")
NAMES = {"default": EIGHT_BITS, "dq": OWN_EIGHT_BITS, "int8": INT8}
FRAME_COLUMNS, LAYER_COLUMNS = 4, 6
RATIO_WEIGHT = 3.0
"""A row of the ratio against one of the time: it is ratios that are asked for."""
SHARED_NODES = 3 / 4
"""Of the nodes around an int8 product Abs, ReduceMax and FakeQuantize are the activation's, the rescale is not."""
INT4_BYTES_PER_WEIGHT = 0.5 + 4 / 64
"""i4 with an f32 scale for every 64, as bench_int8.py makes them."""

Cell = Mapping[str, Any]


@click.command(help=__doc__.splitlines()[0])
@click.option("--grid", type=click.Path(exists=True, path_type=Path), help="What --grid --json printed.")
@click.option("--int4", type=click.Path(exists=True, path_type=Path), help="What --int4 --json printed.")
@click.option("--amx/--no-amx", default=None, help="Whether the measured CPU has AMX.  [default: as this one]")
@click.option("--threads", type=int, help="Cores of the measured CPU that were used.  [default: as this one]")
@click.option("--measured", help="Date of the measurement.  [default: that of the file, else today]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="[default: among the shipped ones]")
def main(
    grid: Path | None,
    int4: Path | None,
    amx: bool | None,
    threads: int | None,
    measured: str | None,
    output: Path | None,
) -> None:
    data = _read_or_measure(grid, "--grid")
    four = None if grid and not int4 else _read_or_measure(int4, "--int4")
    date = datetime.date.fromtimestamp(grid.stat().st_mtime) if grid else datetime.date.today()
    solution = _fit(data["found"])
    quantization, variants = _constants(solution)
    if four is not None:
        variants.update(_four_bits(four["found"], base=solution[0], quantization=quantization, variants=variants))
    residuals = {NAMES[name]: _residual(solution, data["found"], name) for name in ("dq", "int8")}
    device = data["device"]
    calibration = Calibration(
        device=device["FULL_DEVICE_NAME"],
        amx=has_amx() if amx is None else amx,
        capabilities=tuple(ast.literal_eval(device["OPTIMIZATION_CAPABILITIES"])),
        threads=threads or len(os.sched_getaffinity(0)),
        openvino=data["openvino"].partition("-")[0],
        measured=measured or date.isoformat(),
        cells=len(data["found"]),
        residuals=residuals,
        quantization=quantization,
        variants=variants,
    )
    path = output or FOLDER / f"{_file_name(calibration)}.json"
    path.write_text(json.dumps(calibration_to_dict(calibration), indent=2) + "\n", encoding="utf-8")
    print(f"written: {path.name}")


def _read_or_measure(path: Path | None, what: str) -> Any:
    if path is not None:
        return json.loads(path.read_text(encoding="utf-8"))
    command = [sys.executable, str(ROOT / "scripts" / "bench_int8.py"), what, "--json"]
    return json.loads(subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout)


def _file_name(calibration: Calibration) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", calibration.device.lower()).strip("-")
    return name + ("-amx" if calibration.amx else "")


def _fit(cells: Sequence[Cell]) -> np.ndarray:
    """All constants at once: those of the frame, which is in every measurement, and six of each variant."""
    rows, wanted = [], []
    for cell in cells:
        times = _medians(cell)
        for name, time in times.items():
            rows.append(_row(cell, name) / time)
            wanted.append(1.0)
        for name in MEASURED[1:]:
            ratio = times[name] / times["default"]
            rows.append(RATIO_WEIGHT * (_row(cell, name) - ratio * _row(cell, "default")) / times[name])
            wanted.append(0.0)
    return _solve(np.array(rows), np.array(wanted))


def _row(cell: Cell, name: str) -> np.ndarray:
    """What each constant is multiplied by.

    Every layer costs `fixed` of the default. The frame that was measured alone has four thin layers, two of
    them as wide as K and two as N; around the layer there are two, one of each.
    """
    k, n, tokens = cell["k"], cell["n"], cell["tokens"]
    row = np.zeros(FRAME_COLUMNS + LAYER_COLUMNS * len(MEASURED))
    thin = 2 if name == "frame" else 1
    row[:FRAME_COLUMNS] = [1, 4 if name == "frame" else 3, thin * tokens * (k + n), thin * (k + n)]
    if name != "frame":
        start = FRAME_COLUMNS + LAYER_COLUMNS * MEASURED.index(name)
        weights = Work.per_channel(k, n).weight_bytes
        extra = 0 if name == "default" else 1
        row[start : start + LAYER_COLUMNS] = [extra, spread(tokens), tokens * k * n, weights, tokens * k, tokens * n]
    return row


def _solve(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    scale = np.maximum(np.abs(rows).max(axis=0), np.finfo(float).tiny)
    found, _ = nnls(rows / scale, wanted)
    return np.where(np.abs(rows).max(axis=0) > 0, found / scale, 0)


def _constants(solution: np.ndarray) -> tuple[Shared, dict[str, Constants]]:
    """What the int8 lowering costs beyond the default is divided between the activation and the product."""
    fixed = solution[1]
    layers = {
        name: solution[FRAME_COLUMNS + LAYER_COLUMNS * index :][:LAYER_COLUMNS] for index, name in enumerate(MEASURED)
    }
    _, default_spread, *_, default_input, _ = layers["default"]
    extra, spreading, *_, reading, _ = layers["int8"]
    shared = Shared(
        fixed=_rounded(SHARED_NODES * extra),
        spread=_rounded(SHARED_NODES * max(spreading - default_spread, 0)),
        input=_rounded(max(reading - default_input, 0)),
    )
    variants = {}
    for name, (more, spread_, mac, weight_byte, input_, output) in layers.items():
        own = shared if name == "int8" else Shared(0, 0, 0)
        values = (fixed + more - own.fixed, spread_ - own.spread, mac, weight_byte, input_ - own.input, output)
        variants[NAMES[name]] = Constants(*(_rounded(max(value, 0)) for value in values))
    return shared, variants


def _four_bits(
    cells: Sequence[Cell], base: float, quantization: Shared, variants: Mapping[str, Constants]
) -> dict[str, Constants]:
    """Two layers in a row, of 4-bit weights; the int8 ones measured beside them tell how fast the machine was then."""
    found = {}
    for name, variant, eight in (("default", FOUR_BITS, EIGHT_BITS), ("dq", OWN_FOUR_BITS, OWN_EIGHT_BITS)):
        rows, wanted = [], []
        alike = variants[eight]
        for cell in cells:
            k, n = (int(size) for size in re.findall(r"(\d+)x(\d+)", cell["model"])[0])
            tokens, times = cell["tokens"], _medians(cell)
            work = Work.per_channel(k, n)
            int8 = product_time(variants[INT8], work, tokens) + quantization_time(quantization, k, tokens)
            time = ((base + 2 * int8) * times[name] / times["int8"] - base) / 2
            beside = alike.fixed + alike.spread * spread(tokens) + tokens * (alike.input * k + alike.output * n)
            rows.append(np.array([tokens * k * n, INT4_BYTES_PER_WEIGHT * k * n]) / time)
            wanted.append(1 - beside / time)
        mac, weight_byte = _solve(np.array(rows), np.array(wanted))
        found[variant] = Constants(
            alike.fixed, alike.spread, _rounded(mac), _rounded(weight_byte), alike.input, alike.output
        )
    return found


def _residual(solution: np.ndarray, cells: Sequence[Cell], name: str) -> Residual:
    """How far off the ratio to default is that the fit predicts, the frame in both as it was measured."""
    errors = []
    for cell in cells:
        times = _medians(cell)
        predicted = (_row(cell, name) @ solution) / (_row(cell, "default") @ solution)
        errors.append(abs(predicted / (times[name] / times["default"]) - 1))
    residual = Residual(round(statistics.median(errors), 3), round(max(errors), 3))
    worst = cells[int(np.argmax(errors))]
    where = f"K={worst['k']} N={worst['n']} at {worst['tokens']} tokens"
    ninth = np.quantile(errors, 0.9)
    print(f"{name} / default: median error {residual.median:.1%}, nine in ten below {ninth:.1%}, ", end="")
    print(f"worst {residual.worst:.1%} ({where}); {len(cells)} cells")
    return residual


def _medians(cell: Cell) -> dict[str, float]:
    return {name: float(times["median"]) for name, times in cell["microseconds"].items()}


def _rounded(value: float) -> float:
    """Four digits: more would be noise."""
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
