"""The default evaluation text."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ovpass.errors import TextError

_SHIPPED = "persuasion_by_jane_austen.txt"


def read_text(path: Path | None = None) -> str:
    """The user's text, or the shipped one: the first nine chapters of Persuasion by Jane Austen (1818).

    Raises:
        TextError: if the file cannot be read as UTF-8, or is empty.
    """
    if path is None:
        return resources.files("ovpass.evaluation").joinpath(_SHIPPED).read_text(encoding="utf-8")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TextError(f"{path}: cannot be read as UTF-8 text: {getattr(error, 'strerror', None) or error}") from error
    if not text.strip():
        raise TextError(f"{path}: is empty")
    return text
