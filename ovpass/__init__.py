"""ovpass: find, plan, rewrite and prove dynamic quantization of activations in OpenVINO models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovpass.lazy import lazy_exports
from ovpass.version import __version__

if TYPE_CHECKING:
    from ovpass.api import apply, strip
    from ovpass.errors import OvpassError
    from ovpass.passes import PassManager, PassResult
    from ovpass.plan import Decision, Plan
    from ovpass.planning import make_plan
    from ovpass.rewrite import Transformed, strip_source, transform
    from ovpass.settings import Rule, Settings, load_settings
    from ovpass.sites import CompressedMatMul, find_compressed_matmuls
    from ovpass.verification.ask import Question, verify

# Loaded on first use: `ovpass --help` needs none of them, nor OpenVINO.
_HOMES = {
    "CompressedMatMul": "ovpass.sites",
    "Decision": "ovpass.plan",
    "OvpassError": "ovpass.errors",
    "PassManager": "ovpass.passes.manager",
    "PassResult": "ovpass.passes.base",
    "Question": "ovpass.verification.ask",
    "Plan": "ovpass.plan",
    "Rule": "ovpass.settings",
    "Settings": "ovpass.settings",
    "Transformed": "ovpass.rewrite",
    "apply": "ovpass.api",
    "find_compressed_matmuls": "ovpass.sites",
    "load_settings": "ovpass.settings",
    "make_plan": "ovpass.planning",
    "strip": "ovpass.api",
    "strip_source": "ovpass.rewrite",
    "transform": "ovpass.rewrite",
    "verify": "ovpass.verification.ask",
}


__getattr__ = lazy_exports(__name__, _HOMES)

__all__ = [
    "CompressedMatMul",
    "Decision",
    "OvpassError",
    "PassManager",
    "PassResult",
    "Plan",
    "Question",
    "Rule",
    "Settings",
    "Transformed",
    "__version__",
    "apply",
    "find_compressed_matmuls",
    "load_settings",
    "make_plan",
    "strip",
    "strip_source",
    "transform",
    "verify",
]
