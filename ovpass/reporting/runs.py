"""Read the JSON files of commands strictly."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ovpass.reporting import measurements, schema
from ovpass.reporting.checks import RunError, check_run
from ovpass.support.printable import printable, printable_data
from ovpass.support.structured_text import MalformedError, parse_json, read_text
from ovpass.targets.group_sizes import format_group_size
from ovpass.version import JSON_FORMAT

SHAPES: Mapping[str, type[Any]] = {
    "inspect": schema.InspectRun,
    "plan": schema.PlanRun,
    "apply": schema.PlanRun,
    "verify": schema.VerifyRun,
    "evaluate": measurements.EvaluateRun,
    "sensitivity": measurements.SensitivityRun,
    "tune": measurements.TuneRun,
    "bench": measurements.BenchRun,
}
"""The commands that can be shown, and what their JSON has to hold."""
_UNCHECKED = {"ok": False, "device": "GPU", "sites": [], "dynamic_quantize_nodes": 0, "mismatches": []}
_TOO_LARGE = 2**64
_VERSION = re.compile(r"[0-9A-Za-z.+!_-]+")


@dataclass(frozen=True)
class Run:
    """One run: where it was read, its header, and what the command found.

    `verified` is what plugins did, by device: of verify, whose `found` is the first of them, and of apply --verify.
    """

    source: str
    header: schema.Header
    found: Any
    verified: tuple[schema.VerifyRun, ...] = ()


def load_run(path: Path) -> Run:
    """Read what a command printed with --json.

    Raises:
        RunError: naming the file and what is wrong with it.
    """
    try:
        text = read_text(path)
    except MalformedError as error:
        raise RunError(f"{path}: cannot be read: {error}") from error
    try:
        data = parse_json(text)
    except MalformedError as error:
        raise RunError(
            f"{path}: is not JSON, or damaged: {error}; create it with 'ovpass COMMAND ... --json'"
        ) from error
    return make_run(data, str(path))


def make_run(data: Any, source: str) -> Run:
    """A run from plain data; all its texts are made printable.

    Raises:
        RunError: for data of another version, of a command that is not shown, and where something is missing.
    """
    source = printable(source)
    try:
        data = printable_data(data)
    except RecursionError as error:
        raise RunError(f"{source}: is not a saved run of ovpass: it is nested too deeply") from error
    header = _header(data, source)
    if header.command not in SHAPES:
        raise RunError(f"{source}: is a run of {header.command!r}; a report shows runs of {', '.join(SHAPES)}")
    if "dynamic_quantize_calls" in data:
        raise RunError(f"{source}: is a log read by verify --intercept-log, which a report does not show")
    verified = tuple(_structure(each, schema.VerifyRun, source) for each in _verified(data, header.command))
    found = verified[0] if header.command == "verify" else _structure(data, SHAPES[header.command], source)
    for each in (found, *verified):
        check_run(each, source)
    return Run(source, header, found, verified)


def _verified(data: Mapping[str, Any], command: str) -> list[Any]:
    """What plugins did: one entry for each device, with nothing found where it could not be asked."""
    if command != "verify":
        return [data["verify"]] if data.get("verify") else []
    devices = data.get("devices")
    if not isinstance(devices, list) or not devices:
        return [data]
    return [
        {**_UNCHECKED, **device} if isinstance(device, dict) and device.get("error") else device for device in devices
    ]


def _header(data: Any, source: str) -> schema.Header:
    made = "create it again with 'ovpass COMMAND ... --json'"
    if not isinstance(data, dict) or not isinstance(data.get("run"), dict):
        raise RunError(f'{source}: is not a saved run of this version of ovpass: it has no "run"; {made}')
    if data["run"].get("format") != JSON_FORMAT:
        raise RunError(
            f"{source}: has format {data['run'].get('format')!r}, this version of ovpass reads {JSON_FORMAT}; {made}"
        )
    header: schema.Header = _structure(data["run"], schema.Header, f"{source}: run")
    for package, version in (("ovpass", header.ovpass), ("openvino", header.openvino)):
        if not _VERSION.fullmatch(version):
            raise RunError(f"{source}: is damaged: run: {version!r:.60} is not a version of {package}")
    return header


def _structure(data: Any, shape: type[Any], source: str) -> Any:
    import cattrs  # noqa: PLC0415 - not needed to print help

    try:
        return _converter().structure(data, shape)
    except (cattrs.BaseValidationError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{source}: is damaged, or of another version of ovpass: {_first(error)}") from error


@cache
def _converter() -> Any:
    """The one converter: making it takes longer than using it."""
    import cattrs  # noqa: PLC0415

    converter = cattrs.Converter()
    for scalar in (bool, str, int):
        converter.register_structure_hook(scalar, _strictly)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(lambda kind: kind is schema.Group, _group)
    return converter


def _first(error: Exception) -> str:
    """The first of the library's findings."""
    import cattrs  # noqa: PLC0415

    if not isinstance(error, cattrs.BaseValidationError):
        return str(error)
    messages = cattrs.transform_error(error)
    more = f", and {len(messages) - 1} more" if len(messages) > 1 else ""
    return f"{messages[0]}{more}"


def _strictly(value: Any, expected: type[Any]) -> Any:
    if type(value) is not expected:
        raise ValueError(f"expected {expected.__name__}, found {value!r:.60}")
    if expected is int and abs(value) >= _TOO_LARGE:
        raise ValueError(f"expected a number below 2**64, found {value!r:.60}")
    return value


def _number(value: Any, _: Any) -> float:
    if value is None:
        return math.nan  # JSON has no other word for what a broken model gives
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, found {value!r:.60}")
    return float(value)


def _group(value: Any, _: Any) -> schema.Group:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"expected a group size, found {value!r:.60}")
        return schema.Group(str(format_group_size(value) if value else value))
    return schema.Group(_strictly(value, str))
