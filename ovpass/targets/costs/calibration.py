"""Load the constants of the cost model, which scripts/calibrate_costs.py fits to one device."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ovpass.errors import SettingsError
from ovpass.support.cpu_features import has_amx
from ovpass.support.structured_text import parse_json, read_text

FOLDER = Path(__file__).parent / "calibrations"
FALLBACK = "amd-epyc.json"
"""Of CPUs without a file of their own."""

EIGHT_BITS, FOUR_BITS = "default-8bit", "default-4bit"
OWN_EIGHT_BITS, OWN_FOUR_BITS = "dq-8bit", "dq-4bit"
INT8 = "int8"
_BF16 = "BF16"
_REQUIRED = (EIGHT_BITS, INT8)
_ALLOWED = (*_REQUIRED, FOUR_BITS, OWN_EIGHT_BITS, OWN_FOUR_BITS)


@dataclass(frozen=True)
class Constants:
    """Microseconds of one product: each time, spread over threads, and per multiply-accumulate, byte and element.

    `spread` is reached as tokens grow, see `ovpass.targets.costs.model`. `input` is per element of the activation,
    `output` per element of the product.
    """

    fixed: float
    spread: float
    mac: float
    weight_byte: float
    input: float
    output: float

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.mac <= 0:
            raise ValueError("mac must be above 0")


@dataclass(frozen=True)
class Shared:
    """Microseconds of quantizing one activation, however many products read it; `input` is per element of it."""

    fixed: float
    spread: float
    input: float

    def __post_init__(self) -> None:
        _check_numbers(self)


@dataclass(frozen=True)
class Residual:
    """Relative errors of the predicted ratio to default, over the cells that were fitted."""

    median: float
    worst: float


@dataclass(frozen=True)
class Calibration:
    """One device's constants by variant, and where they come from.

    `device` is OpenVINO's FULL_DEVICE_NAME, `measured` the date of the measurement, `quantization` what the int8
    lowering does to an activation before its products. `residuals` are by variant.
    """

    device: str
    amx: bool
    capabilities: tuple[str, ...]
    threads: int
    openvino: str
    measured: str
    cells: int
    residuals: dict[str, Residual]
    quantization: Shared
    variants: dict[str, Constants]

    def __post_init__(self) -> None:
        if missing := [name for name in _REQUIRED if name not in self.variants]:
            raise ValueError(f"variants: {', '.join(missing)} is missing")
        if unknown := sorted(self.variants.keys() - set(_ALLOWED)):
            raise ValueError(f"variants: {', '.join(unknown)} is unknown; they are {', '.join(_ALLOWED)}")

    @property
    def bf16(self) -> bool:
        """Whether the default is bf16 products."""
        return _BF16 in self.capabilities

    @property
    def title(self) -> str:
        """The device, OpenVINO version and date in words."""
        amx = "with" if self.amx else "without"
        return f"{self.device} {amx} AMX, {self.threads} threads, OpenVINO {self.openvino}, {self.measured}"


@dataclass(frozen=True)
class Chosen:
    """A calibration, and whether it is this device's own."""

    calibration: Calibration
    device: str
    own: bool

    @property
    def note(self) -> str:
        """Whose times are expected, for a plan."""
        text = f"expected times come from measurements on {self.calibration.title}"
        if self.own:
            return text
        return f"{text}; this CPU ({self.device}) has no calibration; scripts/calibrate_costs.py creates one"


def calibration_of_this_cpu() -> Chosen:
    """The calibration of the CPU that this runs on, else the fallback."""
    this = _this_cpu()
    for calibration in shipped():
        if (calibration.device, calibration.amx, calibration.bf16) == this:
            return Chosen(calibration, this[0], own=True)
    return Chosen(load_calibration(FOLDER / FALLBACK), this[0], own=False)


@lru_cache(maxsize=1)
def shipped() -> tuple[Calibration, ...]:
    """All calibrations that come with ovpass."""
    return tuple(load_calibration(path) for path in sorted(FOLDER.glob("*.json")))


def load_calibration(path: Path) -> Calibration:
    """Read a calibration, strictly.

    Raises:
        SettingsError: naming the file and each key that is missing, unknown or wrong.
    """
    import cattrs  # noqa: PLC0415 - not needed to print help

    converter = cattrs.Converter(forbid_extra_keys=True)
    for scalar in (bool, int, float, str):
        converter.register_structure_hook(scalar, _strictly)
    try:
        data = parse_json(read_text(path))
        if not isinstance(data, dict):
            raise ValueError(f"expected keys and values, found {type(data).__name__}")
        return converter.structure(data, Calibration)
    except ValueError as error:
        raise SettingsError(f"{path}: cannot be read as a calibration: {error}") from error
    except cattrs.BaseValidationError as error:
        raise SettingsError(
            f"{path}: {'; '.join(cattrs.transform_error(error, format_exception=_describe))}"
        ) from error


def calibration_to_dict(calibration: Calibration) -> dict[str, Any]:
    """Plain data that `load_calibration` reads back from JSON."""
    return dataclasses.asdict(calibration)


@lru_cache(maxsize=1)
def _this_cpu() -> tuple[str, bool, bool]:
    """OpenVINO's name of the CPU, whether it has AMX, which OpenVINO does not tell, and bf16."""
    import openvino as ov  # noqa: PLC0415 - only where times are asked for

    core = ov.Core()
    name, capabilities = (core.get_property("CPU", key) for key in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES"))
    return str(name), has_amx(), _BF16 in capabilities


def _strictly(value: Any, expected: type[Any]) -> Any:
    if type(value) is int and expected is float:
        return float(value)
    if type(value) is not expected:
        raise ValueError(f"expected {expected.__name__}, found {value!r}")
    return value


def _describe(error: BaseException, kind: type[Any] | None) -> str:
    """What the checks here say names the value; the library's words would not."""
    from cattrs.v import format_exception  # noqa: PLC0415

    return str(error) if type(error) is ValueError else format_exception(error, kind)


def _check_numbers(constants: Constants | Shared) -> None:
    for name, value in dataclasses.asdict(constants).items():
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} {value!r} is not a number from 0 up")
