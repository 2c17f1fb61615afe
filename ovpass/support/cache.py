"""Where results that take long to make are kept for the next run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def cache_folder(*names: str) -> Path:
    """A folder in ovpass's part of the user's cache: below XDG_CACHE_HOME, or ~/.cache. It need not exist."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache_home, "ovpass", *names)


def drop_oldest(folder: Path, limit: int) -> None:
    """Remove those folders in `folder` that were not changed for longest, until the rest take `limit` bytes at most."""
    taken = 0
    found = [each for each in folder.glob("*") if each.is_dir()]
    for each in sorted(found, key=lambda path: -_status(path)[0]):
        taken += sum(_status(path)[1] for path in each.rglob("*"))
        if taken > limit:
            shutil.rmtree(each, ignore_errors=True)


def _status(path: Path) -> tuple[float, int]:
    """When it was changed, and how many bytes it has; zeros if another process has removed it meanwhile."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0.0, 0
    return found.st_mtime, found.st_size
