"""Where results that take long to make are kept for the next run."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(*names: str) -> Path:
    """A folder in ovpass's part of the user's cache: below XDG_CACHE_HOME, or ~/.cache. It need not exist."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache_home, "ovpass", *names)
