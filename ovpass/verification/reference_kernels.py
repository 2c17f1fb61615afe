"""Find the sites that a GPU plugin runs on a reference kernel."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ovpass.planning.plan import QUANTIZE, Plan
from ovpass.sites import CompressedMatMul
from ovpass.support.formatting import counted
from ovpass.verification.driver import parse_version
from ovpass.verification.observation import Observation

_OWN = "fully_connected_gpu_bfyx_ref"
_ONEDNN = re.compile(r"(ocl:)?ref:")
_CHOOSES = (26,)
"""The first driver with which oneDNN chooses on a simulated device; before, it falls back to its reference always."""
_FASTER = "weights in i4, u4, u8 or symmetric i8 have a faster one"


def reference_kernels(
    seen: Observation, sites: Sequence[CompressedMatMul], plan: Plan, *, simulated: bool
) -> list[str]:
    """Say in a note which sites run on a reference kernel, as far as the plugin told its kernels, and the way out."""
    by_name = {site.name: site for site in sites}
    slow = {name: one.kernel for one in seen.matmuls if _slow(one.kernel, seen, simulated) for name in one.names}
    slow = {name: kernel for name, kernel in slow.items() if name in by_name}
    if not slow:
        return []
    name, kernel = next(iter(slow.items()))
    groups = {decision.name: decision.group_size or 0 for decision in plan.chosen(QUANTIZE)}
    known = seen.target.slow_kernel(by_name[name], groups[name]) if name in groups else None
    runs = counted(len(slow), "site runs", "sites run")
    read = ", as the simulated device chooses" if simulated else ""
    return [f"{runs} on a reference kernel ({kernel}), {name} for one, which is slow{read}; {known or _FASTER}"]


def _slow(kernel: str, seen: Observation, simulated: bool) -> bool:
    chosen = not simulated or (parse_version(seen.driver) or ()) >= _CHOOSES
    return kernel.startswith(_OWN) or (chosen and _ONEDNN.match(kernel) is not None)
