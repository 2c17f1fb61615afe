"""What a user names to be converted: a GGUF file, a Hugging Face folder, an ONNX model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ovpass.errors import ModelError
from ovpass.ir.files import open_source

GGUF, HUGGING_FACE, ONNX = "GGUF", "Hugging Face", "ONNX"

CONFIG, PIPELINE = "config.json", "model_index.json"
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_ONNX_PLACES = ("*.onnx", "onnx/*.onnx")
_SHOWN = 5


@dataclass(frozen=True)
class ConversionSource:
    """`model` is the file to convert, or the folder itself for Hugging Face; `root` is what was named."""

    kind: str
    root: Path
    model: Path


def find_source(path: Path | str) -> ConversionSource:
    """Tell what is at `path`, by what is there and not by its name alone.

    Raises:
        ModelError: where nothing is there, or nothing that can be converted.
    """
    root = Path(path)
    if root.is_dir():
        return _in_folder(root)
    if not root.is_file():
        raise ModelError(_missing(path, root))
    with root.open("rb") as stream:
        magic = stream.read(4)
    if magic == b"GGUF" or root.suffix == ".gguf":
        return ConversionSource(GGUF, root, root)
    if root.suffix == ".onnx":
        return ConversionSource(ONNX, root, root)
    if root.suffix == ".xml":
        raise ModelError(f"{root}: is an OpenVINO model already")
    if root.suffix in (".safetensors", ".bin", ".json"):
        raise ModelError(f"{root}: is a part of a model; name its folder, {root.parent}")
    raise ModelError(f"{root}: is neither a .gguf, an .onnx nor a Hugging Face folder")


def _missing(path: Path | str, root: Path) -> str:
    if _HUB_ID.fullmatch(str(path)) and not root.parent.exists():
        return f"{path}: no such file or folder; if it is a model on a hub, download it first and name its folder"
    return f"{path}: no such file or folder"


def _in_folder(root: Path) -> ConversionSource:
    if holds_ir(root):
        raise ModelError(f"{root}: holds an OpenVINO model already")
    weights = any(any(root.glob(pattern)) for pattern in WEIGHTS)
    if (root / PIPELINE).is_file() or (weights and (root / CONFIG).is_file()):
        return ConversionSource(HUGGING_FACE, root, root)
    if weights:
        raise ModelError(f"{root}: has weights but no {CONFIG}, which says what model they are of")
    if ggufs := sorted(root.glob("*.gguf")):
        return ConversionSource(GGUF, root, _only(root, ggufs))
    if onnx := sorted(path for place in _ONNX_PLACES for path in root.glob(place)):
        return ConversionSource(ONNX, root, _only(root, onnx))
    if (root / CONFIG).is_file():
        raise ModelError(f"{root}: has {CONFIG} but no weights ({' or '.join(WEIGHTS)})")
    raise ModelError(f"{root}: holds no model: no .gguf, no .onnx, and no {CONFIG} with weights")


def holds_ir(root: Path) -> bool:
    """Whether a folder holds an OpenVINO model already."""
    try:
        open_source(root)
    except ModelError:
        return False
    return True


def _only(root: Path, found: Iterable[Path]) -> Path:
    first, *others = found
    if others:
        names = [path.relative_to(root).as_posix() for path in (first, *others)]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise ModelError(f"{root}: holds several models, {', '.join(names[:_SHOWN])}{more}; name one of them")
    return first
