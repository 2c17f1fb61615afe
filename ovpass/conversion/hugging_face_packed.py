"""Unpack GPTQ and AWQ checkpoints.

A linear layer with K inputs and N outputs has 32-bit words of codes (`qweight`) and zero points (`qzeros`), and
scales for each group of K (`scales` [K / g, N]). A weight is (code - zero point) * scale. GPTQ packs along K, the first
code in the lowest bits. AWQ packs along N in the order 0 2 4 6 1 3 5 7. GPTQ's first format stores zero points minus 1.
With `desc_act`, `g_idx` maps each element of K to its group. (AutoGPTQ qlinear_cuda.py, AutoAWQ packing_utils.py)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ovpass.conversion.hugging_face_folder import CONFIG, WEIGHTS, quantization, read_config
from ovpass.errors import ModelError
from ovpass.formats import integer
from ovpass.formats.base import EncodedWeights, Encoding
from ovpass.support.extras import extra_module

Codes = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]

_WORD = 32
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
_PARTS = ("qweight", "qzeros", "scales", "g_idx")
_FORMATS = {"gptq": ("gptq", "gptq_v2"), "awq": ("gemm",)}


@dataclass(frozen=True)
class PackedLayer:
    """Unpacked: `codes` [N, K] and `zero_points` [N, K / g] from 0 to 255, `scales` [N, K / g] in floating point.

    `order` [K] tells which input each column of `codes` belongs to, None where they are in order.
    """

    name: str
    codes: Codes
    zero_points: Codes
    scales: Array
    order: npt.NDArray[np.int64] | None

    @property
    def encoded(self) -> EncodedWeights:
        """The weights [N, K] in the order of `codes`, in 4 or 8 bits; signed where zero points are in the middle."""
        bits = 4 if max(self.codes.max(), self.zero_points.max()) < 16 else 8
        middle = 2 ** (bits - 1)
        symmetric = bool((self.zero_points == middle).all())
        encoding = Encoding(
            integer.NAME,
            f"i{bits}" if symmetric else f"u{bits}",
            self.codes.shape[1] // self.scales.shape[1],
            symmetric,
            {2: "f16", 4: "f32"}[self.scales.dtype.itemsize],
        )
        codes = self.codes.astype(np.int16) - middle if symmetric else self.codes
        return EncodedWeights(encoding, codes, self.scales.astype(np.float32), None if symmetric else self.zero_points)

    def values(self) -> Array:
        """The weights [N, K] in f32, with inputs in order."""
        found = integer.decode(self.encoded)
        if self.order is None:
            return found
        ordered = np.empty_like(found)
        ordered[:, self.order] = found
        return ordered


class PackedCheckpoint:
    """The packed layers of a folder, read one at a time.

    Raises, from every method:
        ModelError: for a format that is none of those above, and tensors that do not fit it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = read_config(folder)
        self._quantization: Mapping[str, Any] = quantization(self._config) or {}
        self._method = str(self._quantization["quant_method"]).lower()
        self._check_format()

    def _check_format(self) -> None:
        given = "checkpoint_format" if self._method == "gptq" else "version"
        known = _FORMATS[self._method]
        self._format = str(self._quantization.get(given, known[0])).lower()
        if self._format not in known:
            raise ModelError(
                f"{CONFIG}: {given} {self._format!r} of {self._method} is not known, only {', '.join(known)}"
            )
        bits = int(self._quantization.get("bits", 4))
        if bits not in ((2, 4, 8) if self._method == "gptq" else (4,)):
            raise ModelError(f"{CONFIG}: {self._method} with {bits} bits cannot be converted")
        self._bits = bits

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Where each tensor is."""
        found: dict[str, Path] = {}
        for path in sorted(self._folder.glob(WEIGHTS[0])):
            with self._open(path) as tensors:
                found.update(dict.fromkeys(tensors.keys(), path))
        if not found:
            raise ModelError(f"{self._folder}: {self._method} checkpoints must be {WEIGHTS[0]}")
        return found

    def _open(self, path: Path) -> Any:
        return extra_module("safetensors", "export", "reading checkpoints").safe_open(path, framework="pt")

    @cached_property
    def names(self) -> list[str]:
        """The packed layers, by the name of the module."""
        found = [name.removesuffix(".qweight") for name in self._files if name.endswith(".qweight")]
        if not found:
            raise ModelError(
                f"{CONFIG}: says that {self._method} packs the weights, but none is packed; download weights and "
                "configuration again, or remove quantization_config"
            )
        return found

    def _tensor(self, name: str) -> Any:
        with self._open(self._files[name]) as tensors:
            return tensors.get_tensor(name)

    def _numpy(self, name: str) -> Array:
        if name not in self._files:
            raise ModelError(f"{self._folder}: lacks tensor {name}")
        tensor = self._tensor(name)
        torch = extra_module("torch", "export", "reading checkpoints")
        return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())

    def layer(self, name: str) -> PackedLayer:
        """Unpack a layer."""
        words, zeros, scales = (self._numpy(f"{name}.{part}") for part in _PARTS[:3])
        if self._method == "awq":
            codes, zero_points = (_unpack(part, 4)[:, _awq_columns(part)].astype(np.int64) for part in (words, zeros))
            groups = None
        else:
            codes = _unpack(words.T, self._bits).T.astype(np.int64)
            zero_points = _unpack(zeros, self._bits).astype(np.int64) + (self._format == "gptq")
            groups = self._numpy(f"{name}.g_idx") if f"{name}.g_idx" in self._files else None
        if codes.shape[1:] != scales.shape[1:] or zero_points.shape != scales.shape or len(codes) % len(scales):
            shapes = f"codes {codes.shape}, zero points {zero_points.shape}, scales {scales.shape}"
            raise ModelError(f"{self._folder}: {name}: {shapes} do not fit each other")
        if not np.isfinite(scales).all():
            raise ModelError(f"{self._folder}: {name}.scales has values that are not finite; download it again")
        if zero_points.max() > np.iinfo(np.uint8).max:
            raise ModelError(f"{self._folder}: {name}: a zero point of {zero_points.max()} is beyond 8 bits")
        if groups is not None and (groups.shape != codes.shape[:1] or not _even(groups, len(scales))):
            raise ModelError(
                f"{self._folder}: {name}.g_idx: groups differ in size, which OpenVINO cannot express; start from the "
                "unquantized model"
            )
        order = _order(groups, len(codes) // len(scales))
        columns = codes if order is None else codes[order]
        return PackedLayer(
            name,
            np.ascontiguousarray(columns.T.astype(np.uint8)),
            np.ascontiguousarray(zero_points.T.astype(np.uint8)),
            np.ascontiguousarray(scales.T),
            order,
        )

    def write_plain(self, folder: Path) -> None:
        """The checkpoint as one in floating point: packed layers dequantized and rounded to f16, the rest as it is."""
        shutil.copytree(self._folder, folder, ignore=shutil.ignore_patterns(*WEIGHTS, "*.index.json"))
        config = {key: value for key, value in self._config.items() if key != "quantization_config"}
        (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
        save = extra_module("safetensors.torch", "export", "reading checkpoints").save_file
        files = sorted(set(self._files.values()))
        index: dict[str, str] = {}
        for number, path in enumerate(files, start=1):
            name = f"model-{number:05}-of-{len(files):05}.safetensors"
            tensors = dict(self._plain(path))
            index |= dict.fromkeys(tensors, name)
            save(tensors, folder / name, metadata={"format": "pt"})
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))

    def _plain(self, path: Path) -> Iterator[tuple[str, Any]]:
        torch = extra_module("torch", "export", "reading checkpoints")
        packed = set(self.names)
        for name in (name for name, place in self._files.items() if place == path):
            layer, _, part = name.rpartition(".")
            if layer not in packed or part not in _PARTS:
                yield name, self._tensor(name)
            elif part == _PARTS[0]:
                values = self.layer(layer).values()
                yield f"{layer}.weight", torch.from_numpy(values.astype(np.float16))


def _unpack(words: Array, bits: int) -> Codes:
    """The codes of 32-bit words, along the last axis, the lowest bits first."""
    shifts = np.arange(0, _WORD, bits, dtype=np.uint32)
    codes = (words.astype(np.int32).view(np.uint32)[..., None] >> shifts) & np.uint32((1 << bits) - 1)
    return np.asarray(codes.reshape(*words.shape[:-1], -1), np.uint8)


def _awq_columns(words: Array) -> npt.NDArray[np.int64]:
    """Where in the unpacked words each column lies: nibble i of a word is column _AWQ_ORDER[i]."""
    within = np.argsort(_AWQ_ORDER)
    return np.asarray((np.arange(words.shape[-1])[:, None] * len(within) + within).reshape(-1))


def _even(groups: Array, count: int) -> bool:
    """Whether as many elements belong to each of the groups, 0 to `count`."""
    found, sizes = np.unique(groups, return_counts=True)
    return np.array_equal(found, np.arange(count)) and bool((sizes == len(groups) // count).all())


def _order(groups: Array | None, group_size: int) -> npt.NDArray[np.int64] | None:
    """The inputs sorted by group, None where they are so already."""
    if groups is None or np.array_equal(groups, np.arange(len(groups)) // group_size):
        return None
    return np.argsort(groups, kind="stable")
