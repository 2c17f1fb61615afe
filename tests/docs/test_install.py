"""The extras that messages and documents name are there, and the page on installing tells all of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from tests.docs.tables import Section, codes
from tests.documents import ROOT, documents, read

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXTRAS: dict[str, list[str]] = tomllib.loads(read("pyproject.toml").text)["project"]["optional-dependencies"]
FOR_DEVELOPERS = {"dev", "docs"}
OF_OTHERS = {"all", "optimize"}


def parts(extra: str) -> set[str]:
    """The extras that one is made of."""
    (requirement,) = EXTRAS[extra]
    (named,) = re.findall(r"ovpass\[(.+)\]", requirement)
    return set(named.split(","))


def named() -> Iterator[str]:
    for path in (ROOT / "ovpass").rglob("*.py"):
        code = path.read_text(encoding="utf-8")
        yield from re.findall(r'(?:extra_module|require_package)\(\s*[\w".]+, "(\w+)"', code)
        yield from _in_brackets(code)
    for document in (read("README.md"), *documents()):
        yield from _in_brackets(document.text)


def _in_brackets(text: str) -> Iterator[str]:
    for names in re.findall(r"(?:ovpass|install \"\.)\[([\w,]+)\]", text):
        yield from names.split(",")


def test_all_is_all_but_what_is_for_developers() -> None:
    assert parts("all") == EXTRAS.keys() - FOR_DEVELOPERS - OF_OTHERS


def test_what_is_named_is_an_extra() -> None:
    assert set(named()) <= EXTRAS.keys()


def test_the_page_tells_every_extra() -> None:
    told = {extra for row in Section("", read("docs/install.md").text).rows() for extra in codes(row[0])}
    assert EXTRAS.keys() - {"dev"} <= told


def test_developers_have_what_users_can_have() -> None:
    of_users = {requirement for extra in parts("all") - {"export"} for requirement in EXTRAS[extra]}
    assert of_users <= set(EXTRAS["dev"])
