"""Find, plan, rewrite and verify dynamic quantization of activations in OpenVINO models."""

from __future__ import annotations

from ovpass.support.lazy import lazy_exports
from ovpass.version import __version__

TYPE_CHECKING = False  # to import that of typing takes longer than all the rest of `import ovpass`
if TYPE_CHECKING:
    from ovpass.api import (
        ByModel,
        Page,
        apply,
        compress,
        convert,
        evaluate,
        inspect,
        optimize,
        plan,
        report,
        strip,
        strip_source,
        transform,
        tune,
        verify,
    )
    from ovpass.compression.calibration import Calibration
    from ovpass.compression.compress import Compressed, compress_source
    from ovpass.compression.recipe import Recipe
    from ovpass.conversion.convert import Converted
    from ovpass.errors import OvpassError
    from ovpass.evaluation.language_model import TextReport
    from ovpass.evaluation.model_outputs import ArraysReport
    from ovpass.evaluation.options import Evaluation, HarnessOptions, PromptOptions
    from ovpass.integrations.optimum import save_pretrained
    from ovpass.kernels.loading import load
    from ovpass.lowerings.planner import make_plan
    from ovpass.optimization.optimize import Optimized
    from ovpass.passes import PassManager, PassResult
    from ovpass.planning.plan import Decision, Plan
    from ovpass.settings.settings import Rule, Settings, load_settings
    from ovpass.sites import CompressedMatMul, Sites, find_compressed_matmuls
    from ovpass.targets.group_sizes import PER_TOKEN
    from ovpass.transformation.inspection import Inspected
    from ovpass.transformation.result import Transformed
    from ovpass.tuning.budget import Budget
    from ovpass.tuning.experiment import Experiment
    from ovpass.tuning.sensitivity import Measure, sensitivity
    from ovpass.tuning.tuned import Tuned
    from ovpass.verification.intercept_log import InterceptLog, read_intercept_log
    from ovpass.verification.question import Question
    from ovpass.verification.report import Report

# Loaded on first use: `ovpass --help` needs none of them, nor OpenVINO.
_HOMES = {
    "ArraysReport": "ovpass.evaluation.model_outputs",
    "Budget": "ovpass.tuning.budget",
    "ByModel": "ovpass.api",
    "Calibration": "ovpass.compression.calibration",
    "Compressed": "ovpass.compression.compress",
    "CompressedMatMul": "ovpass.sites",
    "Converted": "ovpass.conversion.convert",
    "Decision": "ovpass.planning.plan",
    "Evaluation": "ovpass.evaluation.options",
    "Experiment": "ovpass.tuning.experiment",
    "HarnessOptions": "ovpass.evaluation.options",
    "Inspected": "ovpass.transformation.inspection",
    "InterceptLog": "ovpass.verification.intercept_log",
    "Measure": "ovpass.tuning.sensitivity",
    "Optimized": "ovpass.optimization.optimize",
    "OvpassError": "ovpass.errors",
    "PER_TOKEN": "ovpass.targets.group_sizes",
    "Page": "ovpass.api",
    "PassManager": "ovpass.passes.manager",
    "PassResult": "ovpass.passes.base",
    "Plan": "ovpass.planning.plan",
    "PromptOptions": "ovpass.evaluation.options",
    "Question": "ovpass.verification.question",
    "Recipe": "ovpass.compression.recipe",
    "Report": "ovpass.verification.report",
    "Rule": "ovpass.settings.settings",
    "Settings": "ovpass.settings.settings",
    "TextReport": "ovpass.evaluation.language_model",
    "Sites": "ovpass.sites",
    "Transformed": "ovpass.transformation.result",
    "Tuned": "ovpass.tuning.tuned",
    "apply": "ovpass.api",
    "compress": "ovpass.api",
    "compress_source": "ovpass.compression.compress",
    "convert": "ovpass.api",
    "evaluate": "ovpass.api",
    "find_compressed_matmuls": "ovpass.sites",
    "inspect": "ovpass.api",
    "load": "ovpass.kernels.loading",
    "load_settings": "ovpass.settings.settings",
    "make_plan": "ovpass.lowerings.planner",
    "optimize": "ovpass.api",
    "plan": "ovpass.api",
    "read_intercept_log": "ovpass.verification.intercept_log",
    "report": "ovpass.api",
    "save_pretrained": "ovpass.integrations.optimum",
    "sensitivity": "ovpass.tuning.sensitivity",
    "strip": "ovpass.api",
    "strip_source": "ovpass.api",
    "transform": "ovpass.api",
    "tune": "ovpass.api",
    "verify": "ovpass.api",
}


__getattr__, __dir__ = lazy_exports(__name__, _HOMES)


__all__ = [
    "PER_TOKEN",
    "ArraysReport",
    "Budget",
    "ByModel",
    "Calibration",
    "Compressed",
    "CompressedMatMul",
    "Converted",
    "Decision",
    "Evaluation",
    "Experiment",
    "HarnessOptions",
    "Inspected",
    "InterceptLog",
    "Measure",
    "Optimized",
    "OvpassError",
    "Page",
    "PassManager",
    "PassResult",
    "Plan",
    "PromptOptions",
    "Question",
    "Recipe",
    "Report",
    "Rule",
    "Settings",
    "Sites",
    "TextReport",
    "Transformed",
    "Tuned",
    "__version__",
    "apply",
    "compress",
    "compress_source",
    "convert",
    "evaluate",
    "find_compressed_matmuls",
    "inspect",
    "load",
    "load_settings",
    "make_plan",
    "optimize",
    "plan",
    "read_intercept_log",
    "report",
    "save_pretrained",
    "sensitivity",
    "strip",
    "strip_source",
    "transform",
    "tune",
    "verify",
]
