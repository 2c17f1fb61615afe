"""How long work tells what it is doing."""

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called with a few words whenever a new step begins."""
