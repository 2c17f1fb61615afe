"""Store measurements as lines of JSON, appended one by one, so that interrupted runs resume."""

from __future__ import annotations

import json
import logging
import os
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_origin

from ovpass.errors import OutputError
from ovpass.support.structured_text import decode, parse_json

_LOGGER = logging.getLogger(__name__)

_Shape = TypeVar("_Shape")
_OPENING = b'["'


class Store:
    """Measurements by key, in the file of one experiment; what is there from an earlier run is not made again.

    Raises, from every method:
        OutputError: if the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found = _read(path)
        _LOGGER.info("%s: %d measurements from earlier runs", path, len(self._found))

    def get(self, key: str, shape: type[_Shape]) -> _Shape | None:
        """The measurement as an instance of a dataclass, or a dict of such; None where it has not been made."""
        if key not in self._found:
            return None
        import cattrs  # noqa: PLC0415 - not needed to print help

        try:
            measurement: _Shape = _converter().structure(self._found[key], shape)
            _LOGGER.debug("measured before: %s", key)
            return measurement
        except (cattrs.BaseValidationError, ValueError, TypeError, AttributeError) as error:
            raise _not_ours(self._path, f"what it has for {key!r} is no {getattr(shape, '__name__', shape)}") from error

    def put(self, key: str, value: Any) -> None:
        """Keep a measurement: it is on disk when this returns."""
        _LOGGER.debug("measured: %s", key)
        self._found[key] = plain = _converter().unstructure(value)
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps([key, plain]) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise _not_written(self._path, error) from error

    def discard(self) -> None:
        """Forget all measurements and remove the file."""
        self._found.clear()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be removed: {error.strerror or error}") from error


def _read(path: Path) -> dict[str, Any]:
    """What whole lines say; an interruption leaves at most one that is not, which is cut off."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_bytes() if path.exists() else b""
        end = text.rfind(b"\n") + 1
        found = dict(_measurement(line) for line in text[:end].splitlines())
        if not text[end:].startswith(_OPENING[: len(text) - end]):
            raise ValueError("its last line is not a measurement")
        if end < len(text):
            with path.open("r+b") as stream:
                stream.truncate(end)
        return found
    except OSError as error:
        raise _not_written(path, error) from error
    except ValueError as error:
        raise _not_ours(path, str(error)) from error


def _measurement(line: bytes) -> tuple[str, Any]:
    match parse_json(decode(line)):
        case [str(key), value]:
            return key, value
    raise ValueError("a line is not a measurement")


def _not_written(path: Path, error: OSError) -> OutputError:
    why = error.strerror or error
    return OutputError(f"{path}: cannot write measurements: {why}; name another folder with --state")


def _not_ours(path: Path, why: str) -> OutputError:
    return OutputError(f"{path}: is not a file of measurements; remove it: {why}")


@cache
def _converter() -> Any:
    """The one converter: making it takes longer than using it."""
    import cattrs  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    def is_array(shape: Any) -> bool:
        return get_origin(shape) is np.ndarray

    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(is_array, lambda values, _: np.array([_number(v, float) for v in values]))
    converter.register_unstructure_hook_func(is_array, lambda values: values.tolist())
    return converter


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"expected a number, found {value!r:.60}")
    return float(value)
