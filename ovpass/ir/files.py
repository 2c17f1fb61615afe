"""Models on disk: a single IR, or a folder of OpenVINO GenAI or optimum-intel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError, XMLPullParser

from ovpass.errors import ModelError
from ovpass.ir.document import IrDocument
from ovpass.ir.encoding import open_text
from ovpass.support.formatting import last_line
from ovpass.support.printable import shell_word

if TYPE_CHECKING:
    import openvino as ov

# Graphs of string operations that need an extension to be read, and that have no MatMul.
_TOKENIZERS = ("openvino_tokenizer.xml", "openvino_detokenizer.xml")
_CONVERTIBLE = (".gguf", ".onnx", ".safetensors")
_HEAD = 4096


@dataclass(frozen=True)
class IrFile:
    """An .xml and its .bin. `key` is its path within the model folder, "" for a single file."""

    xml: Path
    key: str = ""

    @property
    def bin(self) -> Path:
        """The weights beside the .xml."""
        return self.xml.with_suffix(".bin")

    def document(self) -> IrDocument:
        """The text of the IR, checked against the length of the .bin; neither OpenVINO nor the weights are needed.

        Raises:
            ModelError: if the pair is incomplete, damaged or no IR.
        """
        if _is_execution_graph(self.xml):
            raise ModelError(
                f"{self.xml}: is the execution graph of a compiled model, not a model; "
                "read it with 'ovpass verify MODEL --execution-graph FILE'"
            )
        if not self.bin.is_file():
            raise ModelError(f"{self.xml}: its weights file {self.bin.name} is missing; put it beside the .xml")
        with self.complete():
            return IrDocument(self.xml, self.bin)

    @contextmanager
    def complete(self) -> Iterator[None]:
        """For whoever walks the graph of the document: where something is missing there, the IR is damaged."""
        try:
            yield
        except OSError as error:
            raise ModelError(f"{self.xml}: cannot be read: {error.strerror or error}") from error
        except (ParseError, UnicodeDecodeError, KeyError, ValueError, IndexError, TypeError) as error:
            raise ModelError(f"{self.xml}: is not a complete OpenVINO IR: {error}") from error

    def read(self, xml: Path | None = None) -> ov.Model:
        """The model, its weights mapped into memory and not read; from another .xml for the same weights if given.

        Raises:
            ModelError: if OpenVINO refuses it.
        """
        from ovpass.ir.custom_op import new_core  # noqa: PLC0415 - brings OpenVINO, slow and not needed to look at a model

        try:
            return new_core().read_model(xml or self.xml, self.bin)
        except RuntimeError as error:
            self.document()  # says what is missing, where that is the reason
            raise ModelError(f"{self.xml}: OpenVINO cannot read it: {last_line(error)}") from error


@dataclass(frozen=True)
class ModelSource:
    """What the user named: `root` is the .xml or the folder, `models` the IRs in it that can hold sites."""

    root: Path
    models: tuple[IrFile, ...]

    @property
    def is_folder(self) -> bool:
        """Whether a whole model folder was named."""
        return self.root.is_dir()

    def files(self) -> list[Path]:
        """All files of the folder."""
        return [path for path in sorted(self.root.rglob("*")) if path.is_file()]


def open_source(path: Path | str) -> ModelSource:
    """Find the IRs at `path`.

    Raises:
        ModelError: if nothing is there, nothing that is a model, or nothing that may be read.
    """
    try:
        return _open(Path(path))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


def _open(root: Path) -> ModelSource:
    if root.is_file():
        if root.suffix.lower() in _CONVERTIBLE:
            raise ModelError(f"{root}: is no OpenVINO model yet; {_convert_first(root)}")
        if root.suffix != ".xml":
            beside = root.with_suffix(".xml")
            hint = f"; name {beside}" if root.suffix == ".bin" and beside.is_file() else ""
            raise ModelError(f"{root}: is neither an .xml nor a model folder{hint}")
        return ModelSource(root, (IrFile(root),))
    if not root.is_dir():
        raise ModelError(f"{root}: {'is neither a file nor a folder' if root.exists() else 'no such file or folder'}")
    next(root.iterdir(), None)  # rglob takes a folder that may not be read for an empty one
    found = [
        IrFile(xml, xml.relative_to(root).as_posix())
        for xml in sorted(root.rglob("*.xml"))
        if xml.is_file() and xml.name not in _TOKENIZERS and (xml.with_suffix(".bin").exists() or _is_ir(xml))
    ]
    if not found:
        hint = f"; {_convert_first(root)}" if _is_convertible(root) else ""
        raise ModelError(f"{root}: holds no OpenVINO model (an .xml with its .bin){hint}")
    return ModelSource(root, tuple(found))


def _is_convertible(folder: Path) -> bool:
    """Whether a folder looks like a source of `ovpass convert`."""
    return any(path.suffix.lower() in _CONVERTIBLE for path in folder.iterdir())


def _convert_first(source: Path) -> str:
    return f"convert it first: ovpass convert {shell_word(source)} -o OUT"


def _is_execution_graph(xml: Path) -> bool:
    """Whether the first layers say when they run."""
    try:
        with open_text(xml) as stream:
            return ' execOrder="' in stream.read(_HEAD)
    except (OSError, UnicodeDecodeError):
        return False  # whoever reads it says what is wrong


def _is_ir(xml: Path) -> bool:
    """Whether the first element is that of an IR."""
    parser: XMLPullParser[Any] = XMLPullParser(events=("start",))
    with suppress(ParseError, UnicodeDecodeError), open_text(xml) as stream:
        parser.feed(stream.read(_HEAD))
        return any(getattr(event[-1], "tag", None) == "net" for event in islice(parser.read_events(), 1))
    return False
