"""The packed layers of a Hugging Face folder, and the same folder in floating point."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovpass.conversion.hugging_face_folder import CONFIG, WEIGHTS, read_config
from ovpass.conversion.packed import PACKINGS
from ovpass.conversion.packed.layer import PackedLayer
from ovpass.conversion.packed.tensors import Tensors
from ovpass.conversion.safetensors_file import StoredTensor, write_safetensors
from ovpass.errors import ModelError
from ovpass.support.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = lazy_module("numpy")

_MARKERS = {
    "qweight", "qzeros", "weight_packed", "weight_scale", "weight_scale_inv", "weight.absmax", "SCB", "W_q",
    "_weight_qdata",
}  # fmt: skip
"""Names of tensors that tell packings apart."""
_EXPORTED_METHODS = ("bitnet", "mxfp4")
"""Quantized checkpoints that optimum-intel exports by itself."""
_UNFIT = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, re.error)
"""What readers meet in configurations and tensors of wrong types."""
_DTYPE_KEYS, _BF16 = ("dtype", "torch_dtype"), "bfloat16"


def quantization(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The checkpoint's quantization where it has to be unpacked first, None for what optimum-intel takes as it is.

    Raises:
        ModelError: for a method that neither can export.
    """
    found = config.get("quantization_config")
    if not found:
        return None
    if not isinstance(found, dict):
        raise ModelError(f"{CONFIG}: quantization_config is not a JSON object; download it again")
    method = str(found.get("quant_method")).lower()
    if method not in (*PACKINGS, *_EXPORTED_METHODS):
        raise ModelError(
            f"{CONFIG}: weights quantized by {method!r} cannot be exported, only "
            f"{', '.join((*PACKINGS, *_EXPORTED_METHODS))}; start from the unquantized model"
        )
    return found if method in PACKINGS else None


class PackedCheckpoint:
    """The packed layers of a folder, read one at a time.

    Raises, from every method:
        ModelError: for a packing that is not known, and tensors that do not fit it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = read_config(folder)
        packed = quantization(self._config) or {}
        self._method = str(packed["quant_method"]).lower()
        self._tensors = Tensors(folder)
        try:
            self._unpacker = PACKINGS[self._method](packed, self._tensors)
        except _UNFIT as error:
            raise ModelError(
                f"{folder / CONFIG}: quantization_config of {self._method} cannot be read: {error}; download it again"
            ) from error

    @property
    def notes(self) -> list[str]:
        """What the checkpoint asks for besides weights."""
        return list(self._unpacker.notes)

    @property
    def activation_group(self) -> int | None:
        """The group size in which activations are to be quantized, -1 for whole tokens, None where they are not."""
        return self._unpacker.activation_group

    def check(self) -> None:
        """Make sure that layers are packed, and by this tool alone."""
        endings = tuple(f".{each}" for each in _MARKERS - {*self._unpacker.markers, *self._unpacker.parts})
        if self.names and (mixed := next((name for name in self._tensors.all if name.endswith(endings)), None)):
            raise ModelError(
                f"{self._folder}: {mixed} is not of {self._method}, which {CONFIG} names; the folder mixes "
                "checkpoints, download it again"
            )

    @cached_property
    def names(self) -> list[str]:
        """The packed layers, by the name of the module."""
        endings = tuple(f".{marker}" for marker in self._unpacker.markers)
        found = [name.removesuffix(end) for name in self._tensors.all for end in endings if name.endswith(end)]
        if not found:
            raise ModelError(
                f"{self._folder / CONFIG}: says that {self._method} packs the weights, but none is packed; download "
                "weights and configuration again, or remove quantization_config"
            )
        return list(dict.fromkeys(found))

    def layer(self, name: str) -> PackedLayer:
        """Unpack a layer."""
        try:
            return self._unpacker.unpack(name)
        except _UNFIT as error:
            raise ModelError(f"{self._folder}: {name}: {error}; download it again") from error

    def write_plain(self, folder: Path) -> None:
        """The checkpoint as one in floating point: packed layers dequantized and rounded to f16, the rest as it is."""
        shutil.copytree(self._folder, folder, ignore=shutil.ignore_patterns(*WEIGHTS, "*.index.json"))
        config = {key: value for key, value in self._config.items() if key != "quantization_config"}
        (folder / CONFIG).write_text(json.dumps(_in_f16(config)), encoding="utf-8")
        files = sorted({tensor.path for tensor in self._tensors.all.values()})
        index: dict[str, str] = {}
        for number, path in enumerate(files, start=1):
            name = f"model-{number:05}-of-{len(files):05}.safetensors"
            tensors = self._plain(path)
            index |= dict.fromkeys(tensors, name)
            write_safetensors(folder / name, tensors)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))

    def _plain(self, path: Path) -> dict[str, Callable[[], tuple[str, Array]]]:
        """What the tensors of a file become; a layer's weights are where its first marker is."""
        parts = {f"{name}.{part}" for name in self.names for part in self._unpacker.parts}
        rest = (tensor for tensor in self._tensors.all.values() if tensor.name not in parts and tensor.path == path)
        layers = (name for name in self.names if self._home(name) == path)
        return {
            **{tensor.name: _as_it_is(tensor) for tensor in rest},
            **{f"{name}.weight": self._dequantized(name) for name in layers},
        }

    def _home(self, name: str) -> Path:
        markers = (f"{name}.{marker}" for marker in self._unpacker.markers)
        return next(self._tensors.get(marker).path for marker in markers if marker in self._tensors)

    def _dequantized(self, name: str) -> Callable[[], tuple[str, Array]]:
        def read() -> tuple[str, Array]:
            with np.errstate(over="ignore"):
                values = self.layer(name).values().astype(np.float16)
            if not np.isfinite(values).all():
                raise ModelError(f"{self._folder}: {name} has weights that are not finite in f16; download it again")
            return "F16", values

        return read


def _as_it_is(tensor: StoredTensor) -> Callable[[], tuple[str, Array]]:
    return lambda: (tensor.dtype, tensor.stored())


def _in_f16(config: Any) -> Any:
    """A configuration that loads bf16 weights as f16: bf16 would round what is dequantized."""
    if not isinstance(config, Mapping):
        return config
    return {
        key: "float16" if key in _DTYPE_KEYS and value == _BF16 else _in_f16(value) for key, value in config.items()
    }
