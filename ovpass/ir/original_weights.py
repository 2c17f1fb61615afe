"""The original weights that the .bin of a changed model still holds, recorded for `strip`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ovpass.ir.constants import ConstantLocation
from ovpass.ir.metadata import Metadata
from ovpass.ir.note import damaged, extend_note, read_note

_SECTION = "weights"


@dataclass(frozen=True)
class OriginalWeights:
    """Constants by name that the .xml no longer mentions, and the length of the .bin in bytes then."""

    slots: Mapping[str, ConstantLocation]
    size: int


def record_original_weights(metadata: Metadata, original: OriginalWeights) -> None:
    """Let `strip` find those constants, and where the .bin ended."""
    extend_note(metadata, _SECTION, asdict(original))


def read_original_weights(metadata: Metadata) -> OriginalWeights | None:
    """What was noted; None in a model that is as it was, or whose weights were written anew.

    Raises:
        ModelError: for a note that is damaged.
    """
    noted = (read_note(metadata) or {}).get(_SECTION)
    if noted is None:
        return None
    try:
        slots = {
            str(name): ConstantLocation(
                int(location["offset"]), int(location["size"]), str(location["element_type"]), tuple(location["shape"])
            )
            for name, location in noted["slots"].items()
        }
        size = int(noted["size"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(metadata, f"does not describe the weights: {error!r}") from error
    if size < 0:
        raise damaged(metadata, f"describes weights of {size} bytes")
    return OriginalWeights(slots, size)
