"""The environment variables and compile properties that a plan may ask for: it can come from anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ovpass.support.choices import near_choice
from ovpass.targets.runtime_options import OPTIONS

_PROPERTIES = (*OPTIONS, "INFERENCE_PRECISION_HINT", "EXECUTION_MODE_HINT")
_VARIABLES = tuple(option.variable for option in OPTIONS.values())
_VALUE = re.compile(r"[\w.+-]{1,64}", re.ASCII)


def checked_environment(given: object) -> dict[str, str]:
    """Environment variables by name.

    Raises:
        ValueError: for a variable that is none of OpenVINO's runtime options, and for a value that no option takes.
    """
    return _checked("run_environment", given, _VARIABLES)


def checked_properties(given: object) -> dict[str, str]:
    """Compile properties by name.

    Raises:
        ValueError: as `checked_environment`.
    """
    return _checked("run_properties", given, _PROPERTIES)


def _checked(where: str, given: object, known: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise ValueError(f"{where}: expected names and values, found {given!r}")
    settings = {str(name): str(value) for name, value in given.items()}
    for name, value in settings.items():
        if name not in known:
            near = near_choice(name, known)
            hint = f"did you mean {near}?" if near else f"a plan may set {', '.join(known)}"
            raise ValueError(f"{where}: {name!r} is not known; {hint}")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"{where}: {name}: {value!r} is neither a number nor a word")
    return settings
