"""How a model is to be served."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ovpass.errors import SettingsError
from ovpass.ir.files import ModelSource
from ovpass.planning.plan import Plan
from ovpass.planning.recorded_plan import recorded_plan
from ovpass.targets.names import get_target
from ovpass.transformation.run_notes import RunNotes

_DEVICE = re.compile(r"[\w.:,()-]+", re.ASCII)


@dataclass(frozen=True)
class Serving:
    """The device of the server, what the plan asks to be set, and the GB for keys and values (0: as many as needed).

    Raises:
        SettingsError: for a device or size that is not possible.
    """

    device: str
    run: RunNotes = field(default_factory=RunNotes)
    cache_size: int = 0

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise SettingsError(f"device {self.device!r}: use a name of OpenVINO, such as CPU, GPU or GPU.1")
        if self.cache_size < 0:
            raise SettingsError(f"cache size {self.cache_size}: use GB, or 0 for as many as requests need")


def serving_of(source: ModelSource, device: str | None, cache_size: int) -> Serving:
    """What the plans in the models say; `device` overrides theirs.

    Raises:
        ModelError: for a model that cannot be read.
        SettingsError: for a device or size that is not possible, and if neither plan nor user names a device.
    """
    recorded = [recorded_plan(ir.document().metadata) for ir in source.models]
    plans = [plan for plan in recorded if plan is not None]
    return Serving(device or _device_of(plans, source), RunNotes.of(plans), cache_size)


def _device_of(plans: Sequence[Plan], source: ModelSource) -> str:
    devices = {get_target(plan.settings.target).device for plan in plans}
    if len(devices) != 1:
        raise SettingsError(f"{source.root}: has no plan that says for which device it is; name one by --device")
    return devices.pop()
