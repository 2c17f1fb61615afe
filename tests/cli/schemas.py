"""What a command prints is checked against its JSON Schema."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError, best_match

from ovpass.schemas import load_schema


def check_schema(command: str, data: Any) -> None:
    """Make sure that the JSON of a command is as its schema says, with no key more."""
    # The last is the cause: properties of a part that is wrong count as unevaluated in what it is part of.
    errors = sorted(_validator(command).iter_errors(data), key=_depth)
    error = best_match(errors[-1:])
    assert error is None, f"ovpass/schemas/{command}.json: {error.json_path}: {error.message[:500]}"


def _depth(error: ValidationError) -> tuple[int, bool]:
    return len(error.path), error.validator != "unevaluatedProperties"


@cache
def _validator(command: str) -> Draft202012Validator:
    schema = load_schema(command)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=FormatChecker())
