"""Two-level runtime info, `rt_info/<section>/<name>`, of an `ov.Model` or the text of an IR."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement

if TYPE_CHECKING:
    import openvino as ov


class Metadata(ABC):
    """What both forms can do."""

    @property
    @abstractmethod
    def owner(self) -> str:
        """The model or file that they are of, for messages."""

    @abstractmethod
    def get(self, section: str, name: str) -> str | None:
        """The text there, None where there is none."""

    @abstractmethod
    def set(self, section: str, name: str, value: str) -> None:
        """Write or replace a text; it is saved with the model."""

    @abstractmethod
    def remove(self, section: str, name: str) -> None:
        """Take a text out, and its section when nothing else is in it."""


class ModelMetadata(Metadata):
    """The runtime info of an `ov.Model`, edited in place."""

    def __init__(self, model: ov.Model) -> None:
        self._model = model

    @property
    def owner(self) -> str:
        return str(self._model.get_friendly_name())

    def get(self, section: str, name: str) -> str | None:
        path = [section, name]
        return str(self._model.get_rt_info(path).astype(str)) if self._model.has_rt_info(path) else None

    def set(self, section: str, name: str, value: str) -> None:
        self._model.set_rt_info(value, [section, name])

    def remove(self, section: str, name: str) -> None:
        others = [key for key in self._model.get_rt_info([section]).value if key != name]
        # As they are: an element type that a program has set does not print as plugins read it.
        remaining = {key: self._model.get_rt_info([section, key]) for key in others}
        del self._model.rt_info[section]
        for key, value in remaining.items():
            self._model.set_rt_info(value, [section, key])


class IrMetadata(Metadata):
    """The `rt_info` element under the root of an IR.

    OpenVINO reads the first of several such elements, and in it the last section and the last entry of a name.
    """

    def __init__(self, net: Element, xml: Path) -> None:
        self._net, self._xml = net, xml

    @property
    def owner(self) -> str:
        return str(self._xml)

    def get(self, section: str, name: str) -> str | None:
        info = self._net.find("rt_info")
        parent = None if info is None else _last(info, section)
        entry = None if parent is None else _last(parent, name)
        return None if entry is None else entry.get("value", "")

    def set(self, section: str, name: str, value: str) -> None:
        _made(_made(self._info(), section), name).set("value", value)

    def remove(self, section: str, name: str) -> None:
        info = self._info()
        parent = _made(info, section)
        for entry in parent.findall(name):
            parent.remove(entry)
        if not len(parent) and info.findall(section) == [parent]:  # an empty one hides those before it
            info.remove(parent)

    def _info(self) -> Element:
        found = self._net.find("rt_info")
        return SubElement(self._net, "rt_info") if found is None else found


def _last(parent: Element, tag: str) -> Element | None:
    found = parent.findall(tag)
    return found[-1] if found else None


def _made(parent: Element, tag: str) -> Element:
    found = _last(parent, tag)
    return SubElement(parent, tag) if found is None else found
