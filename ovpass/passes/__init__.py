"""Passes: one graph transformation per module, and the manager that runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovpass.support.lazy import lazy_exports

if TYPE_CHECKING:
    from ovpass.passes.base import Pass, PassResult
    from ovpass.passes.canonicalize import Canonicalize
    from ovpass.passes.cap import CapGroups
    from ovpass.passes.emulate import ActivationQuantizer, Emulate
    from ovpass.passes.emulate_kv_cache import EmulateKvCache
    from ovpass.passes.exempt import Exempt
    from ovpass.passes.expand_weights import ExpandWeights
    from ovpass.passes.int8 import Int8
    from ovpass.passes.manager import Outcome, PassManager
    from ovpass.passes.requantize import Requantize
    from ovpass.passes.runtime_options import RuntimeOptions
    from ovpass.passes.stamp import Stamp
    from ovpass.passes.strip import Strip

_HOMES = {
    "ActivationQuantizer": "ovpass.passes.emulate",
    "CapGroups": "ovpass.passes.cap",
    "Emulate": "ovpass.passes.emulate",
    "EmulateKvCache": "ovpass.passes.emulate_kv_cache",
    "Exempt": "ovpass.passes.exempt",
    "ExpandWeights": "ovpass.passes.expand_weights",
    "Int8": "ovpass.passes.int8",
    "Outcome": "ovpass.passes.manager",
    "Pass": "ovpass.passes.base",
    "PassManager": "ovpass.passes.manager",
    "PassResult": "ovpass.passes.base",
    "Requantize": "ovpass.passes.requantize",
    "Canonicalize": "ovpass.passes.canonicalize",
    "RuntimeOptions": "ovpass.passes.runtime_options",
    "Stamp": "ovpass.passes.stamp",
    "Strip": "ovpass.passes.strip",
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)

__all__ = [
    "ActivationQuantizer",
    "Canonicalize",
    "CapGroups",
    "Emulate",
    "EmulateKvCache",
    "Exempt",
    "ExpandWeights",
    "Int8",
    "Outcome",
    "Pass",
    "PassManager",
    "PassResult",
    "Requantize",
    "RuntimeOptions",
    "Stamp",
    "Strip",
]
