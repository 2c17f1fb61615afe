"""The known issues of OpenVINO's versions, as Markdown.

python scripts/known_issues.py -o docs/known-issues.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ovpass.targets.known_issues import KNOWN_ISSUES, KnownIssue, Version, known_issues  # noqa: E402

VERSIONS = ((2026, 1, 0), (2026, 2, 0), (2026, 2, 1), (2026, 3, 0), (2026, 3, 1), (2026, 4, 0), (2026, 4, 1))
"""The releases that were looked at."""
INTRODUCTION = """# Known issues by OpenVINO version

Written by `python scripts/known_issues.py -o docs/known-issues.md` from the table in `ovpass/targets/known_issues.py`.

This page covers dynamic quantization in the OpenVINO versions that ovpass supports. The versions were compared by their
released wheels: what the CPU plugin computes, what the GPU plugin compiles for a simulated Arc, and the kernels' source
text inside the plugin. The linked pages are the source for wrong results on hardware and for newer devices: "not seen
here" marks what no available device can show. Rules that hold in all these versions are in
[how it works](how-it-works.md).

`x`: the version has it.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([*INTRODUCTION.splitlines(), "", *overview(), *(line for i in KNOWN_ISSUES for line in entry(i))])


def overview() -> Iterator[str]:
    found = {version: known_issues(version) for version in VERSIONS}
    yield f"| issue | {' | '.join(map(written, VERSIONS))} |"
    yield f"|---|{'---|' * len(VERSIONS)}"
    for issue in KNOWN_ISSUES:
        cells = " | ".join("x" if issue in found[version] else "" for version in VERSIONS)
        yield f"| [{issue.name}](#{issue.name}) | {cells} |"


def entry(issue: KnownIssue) -> Iterator[str]:
    until = "not fixed yet" if issue.fixed is None else f"fixed in {written(issue.fixed)}"
    since = "" if issue.first == VERSIONS[0] else f"seen from {written(issue.first)} on, "
    yield from ("", f"## {issue.name}", "", f"{', '.join(issue.targets)}; {since}{until}.", "")
    yield from (issue.symptom, "", f"**What to do:** {issue.advice}", "")
    links = [*map(link, issue.links)]
    if issue.shown_by:
        links.append(f"shown by `{issue.shown_by}`")
    elif issue.fixed is None:
        links.append("not seen here")
    yield f"{'; '.join(links)}."


def link(address: str) -> str:
    kind, number = address.split("/")[-2:]
    return f"[openvino {'pull request' if kind == 'pull' else 'issue'} {number}]({address})"


def written(version: Version) -> str:
    return ".".join(map(str, version))


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here instead of to standard output.")
def main(output: Path | None) -> None:
    """Print the page."""
    text = page() + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
