"""Text from elsewhere is shown, and does nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ovpass.support.printable import brief, in_one_line, printable, shell_word

HOSTILE = "a\x00\x07\x1b[31m\x7f\x9b31m\x85\u061c\u202e\u2066\ud800\N{LATIN SMALL LETTER E WITH ACUTE}"
SHOWN = r"a\x00\x07\x1b[31m\x7f\x9b31m\x85\u061c\u202e\u2066\ud800" + "\N{LATIN SMALL LETTER E WITH ACUTE}"


def test_what_cannot_be_shown_is_an_escape() -> None:
    assert printable(HOSTILE) == in_one_line(HOSTILE) == SHOWN


def test_lines_stay_in_files_and_not_on_terminals() -> None:
    assert printable("a\tb\nc") == "a\tb\nc"
    assert in_one_line("a\tb\nc\rd\u2028e") == r"a\tb\nc\rd\u2028e"


@pytest.mark.parametrize(
    "word",
    ["plain", "", "a b", "it's", "$(touch x)", "\x1b[31m\n'\\", "caf\N{LATIN SMALL LETTER E WITH ACUTE}\x9b1", "\x011"],
)
def test_a_word_of_a_command_is_what_the_shell_makes_of_it(word: str) -> None:
    quoted = shell_word(word)
    assert in_one_line(quoted) == quoted
    ran = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True)
    assert ran.stdout.decode() == word


def test_a_name_of_other_bytes_keeps_them() -> None:
    quoted = shell_word(Path("caf\udce9"))
    ran = subprocess.run(["bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True)
    assert ran.stdout == b"caf\xe9"


def test_messages_are_short_lines() -> None:
    assert brief("one\n  two\r\n\n\x1bthree\n") == "one two \\x1bthree"
    cut = brief(f"first{'x' * 10**6}last")
    assert (len(cut), cut[:6], cut[-5:]) == (1999, "firstx", "xlast")
    assert " ... " in cut
