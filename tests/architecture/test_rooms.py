"""Data flows one way: no room imports a higher one, and no two modules import each other."""

from __future__ import annotations

import importlib

import pytest

from tests.architecture.imports import PACKAGE, cycles, imports, room

ROOMS = """
    version errors support ir formats kernels sites targets settings planning passes lowerings transformation
    verification evaluation tuning benchmark conversion compression serving reporting integrations schemas cli
    optimization api notebooks __main__
""".split()
MOST_FILES_AT_THE_TOP = 8


def test_no_room_imports_a_higher_one() -> None:
    upward = [
        f"{module} imports {imported}"
        for module, used in imports().items()
        for imported in used
        if room(module) and room(imported) and ROOMS.index(room(imported)) > ROOMS.index(room(module))
    ]
    assert upward == []


def test_no_modules_import_each_other() -> None:
    assert cycles() == []


def test_every_room_has_its_place() -> None:
    assert {room(module) for module in imports()} - {""} == set(ROOMS)


def test_few_files_lie_at_the_top() -> None:
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= MOST_FILES_AT_THE_TOP


@pytest.mark.parametrize("package", ["ovpass", "ovpass.api", "ovpass.passes", "ovpass.verification"])
def test_no_module_hides_a_name_that_its_package_offers(package: str) -> None:
    """Importing a module sets it as an attribute of its package, in place of whatever has its name."""
    offered = set(importlib.import_module(package).__all__)
    assert offered.isdisjoint(module.removeprefix(f"{package}.") for module in imports())
