"""Targets: the rules of each device family, one module each."""

from ovpass.support.choices import check_choice
from ovpass.targets.base import Refusal, Target, Verdict
from ovpass.targets.cpu import CPU
from ovpass.targets.gpu import GPU
from ovpass.targets.gpu_xmx import GPU_XMX

TARGETS = {target.name: target for target in (GPU_XMX, GPU, CPU)}


def get_target(name: str) -> Target:
    """The target of that name.

    Raises:
        SettingsError: for a name that is none.
    """
    check_choice("target", name, TARGETS)
    return TARGETS[name]


__all__ = ["CPU", "GPU", "GPU_XMX", "TARGETS", "Refusal", "Target", "Verdict", "get_target"]
