"""ovpass: find, plan, rewrite and prove dynamic quantization of activations in OpenVINO models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovpass.lazy import lazy_exports
from ovpass.version import __version__

if TYPE_CHECKING:
    from ovpass.api import apply, strip
    from ovpass.errors import OvpassError
    from ovpass.evaluation.evaluate import evaluate
    from ovpass.evaluation.options import Evaluation
    from ovpass.groups import PER_TOKEN
    from ovpass.passes import PassManager, PassResult
    from ovpass.plan import Decision, Plan
    from ovpass.planning import make_plan
    from ovpass.rewrite import Transformed, strip_source, transform
    from ovpass.settings import Rule, Settings, load_settings
    from ovpass.sites import CompressedMatMul, find_compressed_matmuls
    from ovpass.tuning.budget import Budget
    from ovpass.tuning.experiment import Experiment
    from ovpass.tuning.sensitivity import Measure, sensitivity
    from ovpass.tuning.tune import tune
    from ovpass.verification.ask import Question, verify

# Loaded on first use: `ovpass --help` needs none of them, nor OpenVINO.
_HOMES = {
    "Budget": "ovpass.tuning.budget",
    "CompressedMatMul": "ovpass.sites",
    "Decision": "ovpass.plan",
    "Evaluation": "ovpass.evaluation.options",
    "Experiment": "ovpass.tuning.experiment",
    "Measure": "ovpass.tuning.sensitivity",
    "OvpassError": "ovpass.errors",
    "PER_TOKEN": "ovpass.groups",
    "PassManager": "ovpass.passes.manager",
    "PassResult": "ovpass.passes.base",
    "Question": "ovpass.verification.ask",
    "Plan": "ovpass.plan",
    "Rule": "ovpass.settings",
    "Settings": "ovpass.settings",
    "Transformed": "ovpass.rewrite",
    "apply": "ovpass.api",
    "evaluate": "ovpass.evaluation.evaluate",
    "find_compressed_matmuls": "ovpass.sites",
    "load_settings": "ovpass.settings",
    "make_plan": "ovpass.planning",
    "sensitivity": "ovpass.tuning.sensitivity",
    "strip": "ovpass.api",
    "strip_source": "ovpass.rewrite",
    "transform": "ovpass.rewrite",
    "tune": "ovpass.tuning.tune",
    "verify": "ovpass.verification.ask",
}


__getattr__, __dir__ = lazy_exports(__name__, _HOMES)

__all__ = [
    "PER_TOKEN",
    "Budget",
    "CompressedMatMul",
    "Decision",
    "Evaluation",
    "Experiment",
    "Measure",
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
    "evaluate",
    "find_compressed_matmuls",
    "load_settings",
    "make_plan",
    "sensitivity",
    "strip",
    "strip_source",
    "transform",
    "tune",
    "verify",
]
