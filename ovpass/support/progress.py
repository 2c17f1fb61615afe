"""The progress callback of long tasks."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called with a few words whenever a new step begins."""
