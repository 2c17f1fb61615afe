"""The documents do what they show."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import ovpass
from ovpass.settings.settings import Settings, settings_from_dict
from tests.documents import ROOT, Document, check_code, documents, read

SIMULATED = "--simulate"
RUN = ("console", "python")

DOCUMENTS = documents()
FOR_CONTRIBUTORS = "docs/contributing/"
"""Pages whose modules use ovpass from the inside; tests/seams runs them."""


def asks_a_gpu(document: Document) -> bool:
    return any(SIMULATED in block for block in document.blocks("console"))


def asks_the_cpu(document: Document) -> bool:
    """Whether it shows what the CPU plugin quantizes."""
    blocks = [block for language in RUN for block in document.blocks(language)]
    asked = r"""--device[ =]cpu|device="CPU"|optimize .*--target cpu|@DYNAMIC_QUANTIZATION_GROUP_SIZE=[1-9]"""
    return any(re.search(asked, block, re.IGNORECASE) for block in blocks)


RUNNABLE = [
    pytest.param(
        d,
        id=d.name,
        marks=[*([pytest.mark.gpu] if asks_a_gpu(d) else []), *([pytest.mark.vnni] if asks_the_cpu(d) else [])],
    )
    for d in DOCUMENTS
    if any(d.blocks(language) for language in RUN) and not d.name.startswith(FOR_CONTRIBUTORS)
]


@pytest.mark.slow
@pytest.mark.parametrize("document", RUNNABLE)
def test_code_does_what_is_shown(document: Document, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if asks_a_gpu(document):
        request.getfixturevalue("simulated_gpu")
    check_code(document, tmp_path)


@pytest.mark.parametrize(
    "document",
    [read("README.md"), *(d for d in DOCUMENTS if not d.name.startswith(FOR_CONTRIBUTORS))],
    ids=lambda d: d.name,
)
def test_programs_use_public_names_only(document: Document) -> None:
    for language, code in document.code():
        if language in ("python", "py"):
            assert not re.search(r"^\s*(from ovpass\b|import ovpass\.)", code, re.MULTILINE)
            assert set(re.findall(r"\bovpass\.(\w+)", code)) <= set(ovpass.__all__)


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d.blocks("yaml")], ids=lambda d: d.name)
def test_settings_are_valid(document: Document) -> None:
    known = {field.name for field in fields(Settings)}
    for block in document.blocks("yaml"):
        data = yaml.safe_load(block)
        if known & data.keys():
            assert settings_from_dict(data) != Settings()


def test_tables_of_devices_are_of_one_mind() -> None:
    text = read("docs/devices.md").text
    counts = re.findall(r"^- [\w-]+: \d+ cases, \d+ MatMuls, (.*?);", text, re.MULTILINE)
    assert len(counts) == 9
    assert set(counts) == {"all as predicted"}
    assert "**differs**" not in text


@pytest.mark.parametrize("name", ["README.md", *(document.name for document in DOCUMENTS)])
def test_links_between_documents_lead_somewhere(name: str) -> None:
    targets = [part.partition(")")[0] for part in read(name).text.split("](")[1:]]
    local = [target.partition("#")[0] for target in targets if "://" not in target]
    assert all(((ROOT / name).parent / target).exists() for target in local)
