"""What the documents say of devices is what the rules and the table of known issues have."""

from __future__ import annotations

import pytest

from ovpass.targets import TARGETS
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.targets.known_issues import KNOWN_ISSUES, KnownIssue, known_issues
from scripts.device_tables import cell
from scripts.known_issues import page
from tests.docs.tables import Section, codes, sections
from tests.documents import ROOT, read

RULES = sections(read("docs/how-it-works.md").text)


def rules_told(target: str) -> list[str]:
    """The names in the table of what a MatMul needs; a table of several targets has a column for each."""
    (found,) = (section for title, section in RULES.items() if f"`{target}`" in title.partition(":")[0])
    text = found.text[found.text.index("| it needs") :]
    head = [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]
    column = head.index(f"`{target}`") if f"`{target}`" in head else 0
    return [rule for row in Section(found.title, text).rows() if row[column] != "-" for rule in codes(row[1])]


@pytest.mark.parametrize("target", TARGETS)
def test_every_rule_is_told_and_no_other(target: str) -> None:
    assert sorted(rules_told(target)) == sorted(refusal.name for refusal in TARGETS[target].refusals)


def test_the_page_of_known_issues_is_that_of_the_table() -> None:
    assert read("docs/known-issues.md").text == page() + "\n"


def test_known_issues_come_and_go() -> None:
    assert {issue.name for issue in known_issues((2026, 2, 1))} >= {"sub-group-sync", "hybrid-attention"}
    assert not {issue.name for issue in known_issues((2026, 3, 0))} & {"sub-group-sync", "cpu-bf16"}
    assert {issue.name for issue in known_issues((2026, 1, 0), "cpu")} == {"cpu-bf16"}


@pytest.mark.parametrize("issue", KNOWN_ISSUES, ids=lambda issue: issue.name)
def test_a_known_issue_says_where_it_is_from(issue: KnownIssue) -> None:
    assert issue.links or issue.shown_by
    assert set(issue.targets) <= TARGETS.keys()
    assert issue.fixed is None or issue.first < issue.fixed
    assert issue.shown_by is None or (ROOT / issue.shown_by).is_file()


def test_a_cell_lists_the_sizes_that_work() -> None:
    groups = {16: None, 32: 32, 64: None, 128: 128, 256: 128, PER_TOKEN: PER_TOKEN}
    assert cell(groups) == "32, 128 to 256 as 128, per-token"
    assert cell({64: 32, 32: 32}) == "64 to 32 as 32"
    assert (cell({32: 32}), cell({32: None})) == ("as asked", "never")
