"""What a plugin is asked: on which device, and with which options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ovpass.errors import SettingsError
from ovpass.support.processes import check_timeout
from ovpass.targets.names import find_device, get_profile

CPU, GPU = "CPU", "GPU"
USUAL = "gpu-xmx"
"""The target of a GPU that nobody has named."""
_DEVICE = re.compile(rf"{CPU}|{GPU}(\.\d+)?")


@dataclass(frozen=True)
class Question:
    """Verification options: the device (CPU, GPU, or GPU.1 for one of several), or the name of a simulated device.

    A target or device name stands for the OpenVINO device that it is. `properties` are compile properties. `tokens` and
    `find_threshold` run the model with those numbers of tokens. `target` has the rules that the device should follow;
    None means those of the device that answers. Without `kernels` the GPU plugin is asked for its graph alone, which
    takes a tenth of the time; a GPU without XMX decides in its kernels, which are compiled all the same.
    """

    device: str = GPU
    simulate: str | None = None
    properties: Mapping[str, str] | None = None
    tokens: Sequence[int] = ()
    find_threshold: bool = False
    kernels: bool = True
    timeout: float = 900.0
    target: str | None = None

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            self._name_device()
        if self.simulate is not None:
            object.__setattr__(self, "simulate", get_profile(self.simulate).name)
            if self.device != GPU:
                raise SettingsError("only GPUs can be simulated; leave out simulate for the CPU")
        if any(number < 1 for number in self.tokens):
            raise SettingsError(f"tokens {list(self.tokens)}: use numbers of 1 or more")
        if self.device == CPU and (self.tokens or self.find_threshold):
            raise SettingsError("tokens and threshold are for GPUs; the CPU quantizes for any number of tokens")
        if not self.kernels and (self.device == CPU or self.tokens or self.find_threshold):
            raise SettingsError("without kernels a GPU plugin tells its graph; it runs no tokens, and the CPU has none")
        check_timeout(self.timeout)

    def _name_device(self) -> None:
        try:
            named = find_device(self.device)
        except SettingsError as error:
            raise SettingsError(f"{error}; or use {CPU}, {GPU}, or {GPU}.1 for one of several") from None
        object.__setattr__(self, "target", self.target or named.name)
        object.__setattr__(self, "device", named.target.device)
