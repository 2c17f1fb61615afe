"""Passes: one rewriting of a model each, and the manager that runs them."""

from ovpass.passes.base import Pass, PassResult
from ovpass.passes.cap import CapGroups
from ovpass.passes.emulate import ActivationQuantizer, Emulate
from ovpass.passes.exempt import Exempt
from ovpass.passes.int8 import Int8
from ovpass.passes.manager import Outcome, PassManager
from ovpass.passes.pipeline import passes_for
from ovpass.passes.requantize import Requantize
from ovpass.passes.runtime_options import RuntimeOptions
from ovpass.passes.stamp import Stamp
from ovpass.passes.strip import Strip

__all__ = [
    "ActivationQuantizer",
    "CapGroups",
    "Emulate",
    "Exempt",
    "Int8",
    "Outcome",
    "Pass",
    "PassManager",
    "PassResult",
    "Requantize",
    "RuntimeOptions",
    "Stamp",
    "Strip",
    "passes_for",
]
