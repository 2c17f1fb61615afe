"""The tensors of a checkpoint's safetensors files."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovpass.conversion.safetensors_file import StoredTensor, read_header, read_metadata
from ovpass.errors import ModelError

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]


class Tensors:
    """By name, each read when it is asked for.

    Raises, from every method:
        ModelError: naming the tensor that is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def all(self) -> dict[str, StoredTensor]:
        """All of them, file by file."""
        found: dict[str, StoredTensor] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            found.update(read_header(path))
        if not found:
            raise ModelError(f"{self.folder}: packed checkpoints must be *.safetensors; save it as those")
        return found

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The texts that lie beside the tensors of all files."""
        return {name: text for path in self.folder.glob("*.safetensors") for name, text in read_metadata(path).items()}

    def __contains__(self, name: str) -> bool:
        return name in self.all

    def get(self, name: str) -> StoredTensor:
        """The tensor of that name."""
        if name not in self.all:
            raise ModelError(f"{self.folder}: lacks tensor {name}; download it again")
        return self.all[name]

    def stored(self, name: str) -> Array:
        """Its numbers, bf16 and f8 as bit patterns."""
        return self.get(name).stored()

    def floats(self, name: str) -> Array:
        """Its numbers in f16 or f32."""
        return self.get(name).floats()
