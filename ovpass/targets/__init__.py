"""Targets: the rules of each device family, one module each."""

from ovpass.targets.base import Profile, Refusal, Target, Verdict
from ovpass.targets.cpu import CPU
from ovpass.targets.gpu_no_xmx import GPU_NO_XMX
from ovpass.targets.gpu_xe2 import GPU_XE2
from ovpass.targets.gpu_xe3p import GPU_XE3P
from ovpass.targets.gpu_xmx import GPU_XMX

TARGETS: dict[str, Target] = {
    "gpu-xmx": GPU_XMX,
    "gpu-xe2": GPU_XE2,
    "gpu-xe3p": GPU_XE3P,
    "gpu-no-xmx": GPU_NO_XMX,
    "cpu": CPU,
}

__all__ = ["CPU", "GPU_NO_XMX", "GPU_XE2", "GPU_XE3P", "GPU_XMX", "TARGETS", "Profile", "Refusal", "Target", "Verdict"]
