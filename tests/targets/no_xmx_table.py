"""MatMuls on a GPU without XMX: whether their kernels quantize, as target gpu-no-xmx says and as the plugin did.

Nothing in a compiled model shows in what groups. Kernels take a second or more each to compile, so cases are few: one
or more for each rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.targets import GPU_NO_XMX
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Observation
from tests.builders import WeightFormat, linear_model, trio_model
from tests.simulated_gpu import Job
from tests.targets.cases import Build, merged
from tests.targets.compared import Compared, Groups
from tests.targets.gpu_table import Zoos


def _of(kind: str, group: int | None, zero_point: str | None = None, k: int = 512) -> Build:
    return partial(linear_model, WeightFormat("", kind, group, zero_point), k=k, n=32)  # type: ignore[arg-type]


CASES: dict[str, Build] = {
    "i4-g128": _of("i4", 128),
    "i4-g32": _of("i4", 32),
    "i4-g16": _of("i4", 16),
    "i4-g64-k576": _of("i4", 64, k=576),
    "i4-channel-k80": _of("i4", None, k=80),
    "u4-g128-zp": _of("u4", 128, "group"),
    "u4-g48-zp-k576": _of("u4", 48, "group", k=576),
    "u8-channel-zp": _of("u8", None, "group"),
    "u8-channel": _of("u8", None),
    "i8-channel": _of("i8", None),
    "u2-channel": _of("u2", None),
    "nf4-channel": partial(linear_model, "w_nf4_ch"),
    "rank-2": partial(linear_model, "w_i4_sym_g128", rank=2),
    "rank-4": partial(linear_model, "w_i4_sym_g128", rank=4),
    "weights-first": partial(linear_model, "w_i4_sym_g128", weights_on_input0=True),
    "static-256": partial(linear_model, "w_i4_sym_g128", static_tokens=256),
    "static-257": partial(linear_model, "w_i4_sym_g128", static_tokens=257),
    "trio": lambda: trio_model("w_i4_sym_g128"),
}
OF_GROUPS = ("i4-g128", "i4-g64-k576", "u8-channel-zp")
ZOOS: Zoos = {
    "rules": (CASES, (32,)),
    "groups": ({case: CASES[case] for case in OF_GROUPS}, (16, 128, PER_TOKEN)),
}


def compared_without_xmx(compile_all: Callable[[list[Job]], list[Observation]]) -> dict[tuple[str, str], Compared]:
    """For each case of each zoo whether each of its MatMuls is quantized, by group size."""
    found = {}
    for zoo, (builds, groups) in ZOOS.items():
        models = {case: build() for case, build in builds.items()}
        sites = {case: find_compressed_matmuls(model) for case, model in models.items()}
        together = merged(models)
        seen = compile_all([Job(together, {GROUP_SIZE: group}) for group in groups])
        done = dict(zip(groups, seen, strict=True))
        found.update({(zoo, case): _compared(case, sites[case], done) for case in builds})
    return found


def _compared(case: str, sites: list[CompressedMatMul], done: Mapping[int, Observation]) -> Compared:
    said: dict[str, Groups] = {}
    did: dict[str, Groups] = {}
    for site in sites:
        said[site.name] = {group: group if GPU_NO_XMX.verdict(site, group).eligible else None for group in done}
        did[site.name] = {
            group: group if seen.in_kernel.get(f"{case}/{site.name}") else None for group, seen in done.items()
        }
    return Compared(said, did, sites)
