"""Find, plan, rewrite and verify dynamic quantization of activations in OpenVINO models."""

from __future__ import annotations

from ovpass.support.lazy import lazy_exports
from ovpass.version import __version__

TYPE_CHECKING = False  # to import that of typing takes longer than all the rest of `import ovpass`
if TYPE_CHECKING:
    from ovpass.api import apply, strip, strip_source, transform
    from ovpass.compression.calibration import Calibration
    from ovpass.compression.compress import Compressed, compress_source
    from ovpass.compression.recipe import Recipe
    from ovpass.errors import OvpassError
    from ovpass.evaluation.evaluate import evaluate
    from ovpass.evaluation.options import Evaluation
    from ovpass.integrations.optimum import save_pretrained
    from ovpass.kernels.loading import load
    from ovpass.lowerings.planner import make_plan
    from ovpass.optimization.optimize import Optimized, optimize
    from ovpass.passes import PassManager, PassResult
    from ovpass.planning.plan import Decision, Plan
    from ovpass.settings.settings import Rule, Settings, load_settings
    from ovpass.sites import CompressedMatMul, find_compressed_matmuls
    from ovpass.targets.group_sizes import PER_TOKEN
    from ovpass.transformation.result import Transformed
    from ovpass.tuning.budget import Budget
    from ovpass.tuning.experiment import Experiment
    from ovpass.tuning.sensitivity import Measure, sensitivity
    from ovpass.tuning.tune import tune
    from ovpass.verification.intercept_log import InterceptLog, read_intercept_log
    from ovpass.verification.question import Question
    from ovpass.verification.verify_model import verify

# Loaded on first use: `ovpass --help` needs none of them, nor OpenVINO.
_HOMES = {
    "Budget": "ovpass.tuning.budget",
    "Calibration": "ovpass.compression.calibration",
    "Compressed": "ovpass.compression.compress",
    "CompressedMatMul": "ovpass.sites",
    "Decision": "ovpass.planning.plan",
    "Evaluation": "ovpass.evaluation.options",
    "Experiment": "ovpass.tuning.experiment",
    "InterceptLog": "ovpass.verification.intercept_log",
    "Measure": "ovpass.tuning.sensitivity",
    "Optimized": "ovpass.optimization.optimize",
    "OvpassError": "ovpass.errors",
    "PER_TOKEN": "ovpass.targets.group_sizes",
    "PassManager": "ovpass.passes.manager",
    "PassResult": "ovpass.passes.base",
    "Question": "ovpass.verification.question",
    "Plan": "ovpass.planning.plan",
    "Recipe": "ovpass.compression.recipe",
    "Rule": "ovpass.settings.settings",
    "Settings": "ovpass.settings.settings",
    "Transformed": "ovpass.transformation.result",
    "apply": "ovpass.api",
    "compress_source": "ovpass.compression.compress",
    "evaluate": "ovpass.evaluation.evaluate",
    "find_compressed_matmuls": "ovpass.sites",
    "load": "ovpass.kernels.loading",
    "load_settings": "ovpass.settings.settings",
    "make_plan": "ovpass.lowerings.planner",
    "optimize": "ovpass.optimization.optimize",
    "read_intercept_log": "ovpass.verification.intercept_log",
    "save_pretrained": "ovpass.integrations.optimum",
    "sensitivity": "ovpass.tuning.sensitivity",
    "strip": "ovpass.api",
    "strip_source": "ovpass.api",
    "transform": "ovpass.api",
    "tune": "ovpass.tuning.tune",
    "verify": "ovpass.verification.verify_model",
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
    "Optimized",
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
    "load",
    "load_settings",
    "make_plan",
    "optimize",
    "read_intercept_log",
    "save_pretrained",
    "sensitivity",
    "strip",
    "strip_source",
    "transform",
    "tune",
    "verify",
]
