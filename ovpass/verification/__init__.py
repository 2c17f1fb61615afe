"""Verification: what a plugin does with a model, on a real or simulated GPU and on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovpass.support.lazy import lazy_exports

if TYPE_CHECKING:
    from ovpass.verification.intercept_log import InterceptLog, read_intercept_log
    from ovpass.verification.observation import Observation, Order
    from ovpass.verification.question import Question
    from ovpass.verification.report import Report, SiteCheck
    from ovpass.verification.simulated_gpu import SimulatedGpu
    from ovpass.verification.verify_model import verify

_HOMES = {
    "InterceptLog": "ovpass.verification.intercept_log",
    "Order": "ovpass.verification.observation",
    "Question": "ovpass.verification.question",
    "Report": "ovpass.verification.report",
    "Observation": "ovpass.verification.observation",
    "SimulatedGpu": "ovpass.verification.simulated_gpu",
    "SiteCheck": "ovpass.verification.report",
    "read_intercept_log": "ovpass.verification.intercept_log",
    "verify": "ovpass.verification.verify_model",
}

__getattr__, __dir__ = lazy_exports(__name__, _HOMES)

__all__ = [
    "InterceptLog",
    "Observation",
    "Order",
    "Question",
    "Report",
    "SimulatedGpu",
    "SiteCheck",
    "read_intercept_log",
    "verify",
]
