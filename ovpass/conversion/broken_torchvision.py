"""Keep a torchvision that cannot be imported from transformers, which does without one."""

from __future__ import annotations

import importlib
import sys

_NAME = "torchvision"


def hide_broken_torchvision() -> None:
    """Let this process find no torchvision, unless it works.

    optimum-intel requires it, and the one on PyPI fails beside a PyTorch without CUDA: most of transformers then, too.
    """
    try:
        importlib.import_module(_NAME)
    except Exception:  # what its libraries raise is of any class
        sys.modules[_NAME] = None  # type: ignore[assignment] # Python's way to say that there is none
