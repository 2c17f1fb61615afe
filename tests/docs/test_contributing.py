"""Pages for contributors name modules, names and rooms that exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.test_rooms import ROOMS
from tests.docs.tables import Section, codes
from tests.documents import ROOT, Document, documents, read

ANSWERS = list(Section("", read("docs/contributing/where-is-it.md").text).rows())
PAGES = [document for document in documents() if document.name.startswith("docs/contributing/")]
MODULE = re.compile(r"`(ovpass/[\w/]+(?:\.py)?)`")


def defined(path: str) -> set[str]:
    """The functions and classes of a module."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


@pytest.mark.parametrize("row", ANSWERS, ids=lambda row: row[0])
def test_an_answer_is_where_it_says(row: list[str]) -> None:
    _, module, name = row
    assert set(codes(name)) <= defined(codes(module)[0])


def test_there_are_five_answers() -> None:
    assert len(ANSWERS) == 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_exist(page: Document) -> None:
    missing = [path for path in MODULE.findall(page.text) if not (ROOT / path).exists()]
    assert missing == []


def test_names_beside_answers_exist() -> None:
    text = read("docs/contributing/where-is-it.md").text
    for name, path in re.findall(r"`(\w+)`\s+(?:\(|in\s+)`(ovpass/[\w/]+\.py)`", text):
        assert name in defined(path)


def test_the_rooms_are_in_the_order_of_imports() -> None:
    rows = Section("", read("docs/contributing/architecture.md").text).rows()
    assert [codes(row[0])[0] for row in rows] == ROOMS
