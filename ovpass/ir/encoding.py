"""The encoding of an .xml, told as OpenVINO's parser tells it, which heeds a declaration for one encoding only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TextIO

UTF_8 = "utf-8"
_STARTS = {
    b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"<\0\0\0": "utf-32-le", b"\0\0\0<": "utf-32-be",
    b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"<\0": "utf-16-le", b"\0<": "utf-16-be",
}  # fmt: skip
_LATIN_1 = re.compile(rb"""<\?xml\s[^>]*?\bencoding\s*=\s*["'](?:iso-8859-1|latin1)["']""", re.IGNORECASE)
_HEAD = 1024


def encoding_of(xml: Path) -> str:
    """The name of the encoding, by a byte order mark, the first characters or the declaration.

    Raises:
        OSError: if the file cannot be read.
    """
    with xml.open("rb") as stream:
        head = stream.read(_HEAD)
    for start, encoding in _STARTS.items():
        if head.startswith(start):
            return encoding
    return "latin-1" if _LATIN_1.match(head) else UTF_8


def open_text(xml: Path) -> TextIO:
    """Open the text of an .xml for reading.

    Raises:
        OSError: if the file cannot be read.
    """
    return xml.open(encoding=encoding_of(xml))
