"""A YAML loader for files of strangers: it builds trees of plain data, in time and memory that their size bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from ovpass.support.limits import DEEPEST, LONGEST_NUMBER

_TAG = "tag:yaml.org,2002:"
_TEXT, _MERGE = f"{_TAG}str", f"{_TAG}merge"
_SEQUENCE, _MAPPING = f"{_TAG}seq", f"{_TAG}map"
_SCALARS: dict[str, Callable[[Any, yaml.ScalarNode], Any]] = {
    f"{_TAG}null": SafeConstructor.construct_yaml_null,
    f"{_TAG}bool": SafeConstructor.construct_yaml_bool,
    f"{_TAG}int": SafeConstructor.construct_yaml_int,
    f"{_TAG}float": SafeConstructor.construct_yaml_float,
}
_SHOWN = 60
_ROOM, _ROOM_PER_CHARACTER = 1_000_000, 4
"""Entries and characters that a file comes to: no text without aliases comes to more than four for each of its own."""

# libyaml's loader reads fifty times as fast as PyYAML's own.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class PlainLoader(_Loader):  # type: ignore[misc]
    """Builds dicts with text as keys, lists, text, numbers, booleans and None. Aliases become copies.

    Raises, from every method:
        yaml.YAMLError: for anything else, for deep nesting, long numbers, and aliases that expand to too much.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._room = _ROOM + _ROOM_PER_CHARACTER * len(text)

    def descend_resolver(self, current_node: yaml.Node | None, current_index: Any) -> None:
        """Count the nesting; the composer calls this before each node, and recurses."""
        self._depth += 1
        if current_node is not None:
            _check_depth(current_node, self._depth)

    def ascend_resolver(self) -> None:
        """Leave a node."""
        self._depth -= 1

    def plain_data(self) -> Any:
        """The data of the only document; None where there is none."""
        node = self.get_single_node()
        return None if node is None else self._plain(node, 1)

    def _plain(self, node: yaml.Node, depth: int) -> Any:
        self._charge(node)
        if type(node) is yaml.ScalarNode:
            return node.value if node.tag == _TEXT else self._scalar(node)
        _check_depth(node, depth)  # an alias can stand for what it is in
        if type(node) is yaml.SequenceNode and node.tag == _SEQUENCE:
            return [self._plain(entry, depth + 1) for entry in node.value]
        if type(node) is yaml.MappingNode and node.tag == _MAPPING:
            return self._mapping(node, depth)
        raise _refusal(node, f"{_kind(node)} is no plain list or mapping")

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        shown = repr(node.value[:_SHOWN])
        if node.tag not in _SCALARS:
            raise _refusal(node, f"{shown} is read as {_kind(node)}, which has no use here; put it in quotes")
        if len(node.value) > LONGEST_NUMBER:
            raise _refusal(node, f"a number has {len(node.value)} characters; it has at most {LONGEST_NUMBER}")
        try:
            return _SCALARS[node.tag](self, node)
        except (ValueError, LookupError, OverflowError):
            raise _refusal(node, f"{shown} is no {_kind(node)}") from None

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                merged.update(self._merged(value, depth))
            else:
                own[self._key(key)] = self._plain(value, depth + 1)
        return {**merged, **own}

    def _key(self, node: yaml.Node) -> str:
        self._charge(node)
        if node.tag != _TEXT or type(node) is not yaml.ScalarNode:
            shown = repr(node.value[:_SHOWN]) if type(node) is yaml.ScalarNode else "a list or mapping"
            raise _refusal(node, f"key {shown} is no text; put it in quotes")
        return str(node.value)

    def _merged(self, node: yaml.Node, depth: int) -> dict[str, Any]:
        """What `<<` brings in: of several mappings the first that has a key decides."""
        parts = node.value if type(node) is yaml.SequenceNode else [node]
        found: dict[str, Any] = {}
        for part in reversed(parts):
            if type(part) is not yaml.MappingNode:
                raise _refusal(node, "<< takes a mapping, or a list of mappings")
            found.update(self._plain(part, depth + 1))
        return found

    def _charge(self, node: yaml.Node) -> None:
        self._room -= 1 + len(node.value)
        if self._room < 0:
            raise _refusal(node, "its aliases expand to too much; write out what is needed")


def _check_depth(node: yaml.Node, depth: int) -> None:
    if depth > DEEPEST:
        raise _refusal(node, f"lists and mappings are nested more than {DEEPEST} deep")


def _kind(node: yaml.Node) -> str:
    return str(node.tag).removeprefix(_TAG)[:_SHOWN]


def _refusal(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
