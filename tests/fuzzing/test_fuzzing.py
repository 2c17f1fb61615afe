"""Edited files give an answer or one line, whatever they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzzing.campaign import Campaign
from tests.fuzzing.kinds import QUICK


@pytest.mark.slow
def test_edited_files(tmp_path: Path) -> None:
    assert list(Campaign(tmp_path, seed=0, kinds=QUICK).run(400)) == []
