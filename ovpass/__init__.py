"""ovpass: find, plan, rewrite and prove dynamic quantization of activations in OpenVINO models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovpass.lazy import lazy_exports
from ovpass.version import __version__

if TYPE_CHECKING:
    from ovpass.api import apply, strip
    from ovpass.convert.calibration import Calibration
    from ovpass.convert.compress import Compressed, compress_source
    from ovpass.convert.recipe import Recipe
    from ovpass.errors import OvpassError
    from ovpass.evaluation.evaluate import evaluate
    from ovpass.evaluation.options import Evaluation
    from ovpass.groups import PER_TOKEN
    from ovpass.integrations.optimum import save_pretrained
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
    from ovpass.verification.intercept_log import InterceptLog, read_intercept_log

# Loaded on first use: `ovpass --help` needs none of them, nor OpenVINO.
_HOMES = {
    "Budget": "ovpass.tuning.budget",
    "Calibration": "ovpass.convert.calibration",
    "Compressed": "ovpass.convert.compress",
    "CompressedMatMul": "ovpass.sites",
    "Decision": "ovpass.plan",
    "Evaluation": "ovpass.evaluation.options",
    "Experiment": "ovpass.tuning.experiment",
    "InterceptLog": "ovpass.verification.intercept_log",
    "Measure": "ovpass.tuning.sensitivity",
    "OvpassError": "ovpass.errors",
    "PER_TOKEN": "ovpass.groups",
    "PassManager": "ovpass.passes.manager",
    "PassResult": "ovpass.passes.base",
    "Question": "ovpass.verification.ask",
    "Plan": "ovpass.plan",
    "Recipe": "ovpass.convert.recipe",
    "Rule": "ovpass.settings",
    "Settings": "ovpass.settings",
    "Transformed": "ovpass.rewrite",
    "apply": "ovpass.api",
    "compress_source": "ovpass.convert.compress",
    "evaluate": "ovpass.evaluation.evaluate",
    "find_compressed_matmuls": "ovpass.sites",
    "load_settings": "ovpass.settings",
    "make_plan": "ovpass.planning",
    "read_intercept_log": "ovpass.verification.intercept_log",
    "save_pretrained": "ovpass.integrations.optimum",
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
    "Calibration",
    "Compressed",
    "CompressedMatMul",
    "Decision",
    "Evaluation",
    "Experiment",
    "InterceptLog",
    "Measure",
    "OvpassError",
    "PassManager",
    "PassResult",
    "Plan",
    "Question",
    "Recipe",
    "Rule",
    "Settings",
    "Transformed",
    "__version__",
    "apply",
    "compress_source",
    "evaluate",
    "find_compressed_matmuls",
    "load_settings",
    "make_plan",
    "read_intercept_log",
    "save_pretrained",
    "sensitivity",
    "strip",
    "strip_source",
    "transform",
    "tune",
    "verify",
]
