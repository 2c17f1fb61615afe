"""MatMuls on a GPU without XMX: whether target gpu-no-xmx says of each that its kernel quantizes, and whether it does.

Nothing in a compiled model shows in what groups. Kernels take a second or more each to compile, so cases are few: one or
more for each rule.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.targets import GPU_NO_XMX
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Seen
from tests.builders import WeightFormat, linear_model, pair_model, trio_model
from tests.simulated_gpu import Job
from tests.targets.cases import Build, merged
from tests.targets.compared import Compared


def _of(kind: str, group: int | None, zero_point: str | None = None, k: int = 512) -> Build:
    return partial(linear_model, WeightFormat("", kind, group, zero_point), k=k, n=32)  # type: ignore[arg-type]


CASES: dict[str, Build] = {
    "i4-channel": _of("i4", None),
    "i4-g128": _of("i4", 128),
    "i4-g32": _of("i4", 32),
    "i4-g16": _of("i4", 16),
    "i4-g64-k576": _of("i4", 64, k=576),
    "i4-channel-k80": _of("i4", None, k=80),
    "u4-g128": _of("u4", 128),
    "u4-g128-zp": _of("u4", 128, "group"),
    "u4-g48-zp-k576": _of("u4", 48, "group", k=576),
    "u8-channel-zp": _of("u8", None, "group"),
    "u8-g32-zp": _of("u8", 32, "group"),
    "u8-channel": _of("u8", None),
    "i8-channel": _of("i8", None),
    "i8-channel-zp": _of("i8", None, "group"),
    "u2-channel": _of("u2", None),
    "nf4-channel": partial(linear_model, "w_nf4_ch"),
    "codebook": partial(linear_model, "w_cb4_g64"),
    "rank-2": partial(linear_model, "w_i4_sym_g128", rank=2),
    "rank-4": partial(linear_model, "w_i4_sym_g128", rank=4),
    "weights-first": partial(linear_model, "w_i4_sym_g128", weights_on_input0=True),
    "static-1": partial(linear_model, "w_i4_sym_g128", static_tokens=1),
    "static-300": partial(linear_model, "w_i4_sym_g128", static_tokens=300),
    "pair": lambda: pair_model("w_u4_asym_g64"),
    "trio": lambda: trio_model("w_i4_sym_g128"),
}
GROUPS = (0, 16, 32, 128, PER_TOKEN)
SLOW = ("pair", "trio", "nf4-channel", "codebook", "weights-first")
"""Cases in which the group size does not matter."""


def compared_without_xmx(compile_all: Callable[[list[Job]], list[Seen]]) -> dict[str, Compared]:
    """For each case whether each of its MatMuls is quantized, by group size, as the target says and as the plugin did."""
    models = {case: build() for case, build in CASES.items()}
    sites = {case: find_compressed_matmuls(model) for case, model in models.items()}
    together = merged(models)
    done = dict(zip(GROUPS, compile_all([Job(together, {GROUP_SIZE: group}) for group in GROUPS]), strict=True))
    return {case: _compared(case, sites[case], done) for case in CASES}


def _compared(case: str, sites: list[CompressedMatMul], done: dict[int, Seen]) -> Compared:
    said = {site.name: {group: _as_asked(group, _says(site, group)) for group in done} for site in sites}
    did = {
        site.name: {group: _as_asked(group, seen.in_kernel.get(f"{case}/{site.name}", False)) for group, seen in done.items()}
        for site in sites
    }
    return Compared(said, did, sites)


def _says(site: CompressedMatMul, group: int) -> bool:
    return GPU_NO_XMX.verdict(site, group).eligible


def _as_asked(group: int, quantized: bool) -> int | None:
    return group if quantized else None
