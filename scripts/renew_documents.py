"""Run the console blocks of documents, and write into them what the commands print now.

python scripts/renew_documents.py                           # README.md and all of docs, two minutes
python scripts/renew_documents.py docs/first-half-hour.md

What is shown with `...` in it is left alone; exit codes have to be those that are told. See what changed with git diff.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.documents import Document, at_work, commands_of, documents, read, run_python  # noqa: E402


def renewed(document: Document) -> str:
    """Its text with what commands print now; Python blocks run as well, since commands can need what they write."""
    text = document.text
    for language, block in document.code():
        if language == "python":
            run_python(block, document)
        elif language == "console":
            text = text.replace(block, _renewed(block), 1)
    return text


def _renewed(block: str) -> str:
    for command in commands_of(block):
        out = command.run()
        if not command.agrees(out) and "..." not in command.shown:
            block = block.replace(f"{command.text}\n{command.shown}", f"{command.text}\n{out}", 1)
    return block


@click.command()
@click.argument("names", nargs=-1, metavar="DOCUMENT...")
def main(names: tuple[str, ...]) -> None:
    """Renew DOCUMENTs, all without any."""
    for document in [read(name) for name in names] or [read("README.md"), *documents()]:
        with tempfile.TemporaryDirectory() as workplace, at_work(Path(workplace)):
            text = renewed(document)
        if text != document.text:
            (ROOT / document.name).write_text(text, encoding="utf-8")
            click.echo(document.name)


if __name__ == "__main__":
    main()
