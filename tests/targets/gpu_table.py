"""MatMuls by the hundred on the GPU plugin: what a target says of each, and what the plugin does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.targets import Target
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Observation
from tests.builders import (
    attention_model,
    linear_model,
    lora_model,
    pair_model,
    swiglu_model,
    tied_model,
    trio_model,
)
from tests.simulated_gpu import Job
from tests.targets.cases import CHAINS, LENGTHS, PLAIN, SHAPES, Build, merged, weight_groups
from tests.targets.compared import FILES, Compared, Groups
from tests.targets.scaled_cases import SCALED
from tests.targets.static_cases import STATIC

EVERY_GROUP = (0, 16, 32, 33, 40, 48, 60, 64, 96, 100, 128, 192, 256, 512, 1024, 4096, PER_TOKEN)
FEW_GROUPS = (64, 256, PER_TOKEN)
LARGE_GROUPS = (256, PER_TOKEN)

STRUCTURES: dict[str, Build] = {
    "trio": lambda: trio_model("w_i4_sym_g128"),
    "trio-narrow-kv": lambda: trio_model("w_i4_sym_g128", kv_n=16),
    "trio-asymmetric": lambda: trio_model("w_u4_asym_g128"),
    "trio-mixed": lambda: trio_model(["w_i8_sym_ch", "w_u4_asym_g128", "w_i4_sym_g128"]),
    "pair": lambda: pair_model("w_u4_asym_g64"),
    "swiglu": swiglu_model,
    "attention": attention_model,
    "tied": tied_model,
    "lora": lora_model,
}
Zoos = Mapping[str, tuple[dict[str, Build], tuple[int, ...]]]
"""By name cases, and the group sizes that are asked for."""

ZOOS: Zoos = {
    "weight groups": (weight_groups(), EVERY_GROUP),
    "formats": (PLAIN, LARGE_GROUPS),
    "K": (LENGTHS, FEW_GROUPS),
    "shapes": (SHAPES, LARGE_GROUPS),
    "chains": (CHAINS, LARGE_GROUPS),
    "quantized by the model": (STATIC, LARGE_GROUPS),
    "scaled products": (SCALED, LARGE_GROUPS),
    "structures": (STRUCTURES, LARGE_GROUPS),
    "files": (FILES, (32, 64, PER_TOKEN)),
}
FLOATS = ("w_f8e4m3_ch", "w_f8e4m3_g128", "w_f8e5m2_ch", "w_f4e2m1_ch", "w_f4e2m1_g128", "w_nvfp4_g16")
_BESIDE = ("w_nf4_ch", "w_i8_sym_ch", "w_u4_asym_g32", "w_f16_plain")
XE3P_ZOOS: Zoos = {
    "floating point": (
        {name: partial(linear_model, name, n=32) for name in (*FLOATS, *_BESIDE)},
        (32, 64, 128, PER_TOKEN),
    ),
}
"""What gpu-xe3p adds to the rules of gpu-xe2."""


def at_compile_time(target: Target, site: CompressedMatMul, group_size: int) -> int | None:
    """The verdict, as far as compilation can tell: a group without a kernel throws at infer only."""
    verdict = target.verdict(site, group_size)
    return target.adjusted(site, group_size)[0] if verdict.throws else verdict.group_size


def compared_on_gpu(
    target: Target,
    compile_all: Callable[[list[Job]], list[Observation]],
    zoos: Zoos = ZOOS,
    *,
    queried: bool = False,
) -> dict[tuple[str, str], Compared]:
    """For each case of each zoo the groups by MatMul, as the target says and as the plugin did.

    `queried` asks for the plugin's graph alone, without kernels.
    """
    sites: dict[tuple[str, str], list[CompressedMatMul]] = {}
    jobs: dict[tuple[str, int], Job] = {}
    for zoo, (builds, groups) in zoos.items():
        models = {case: build() for case, build in builds.items()}
        sites.update({(zoo, case): find_compressed_matmuls(model) for case, model in models.items()})
        together = merged(models)
        jobs.update({(zoo, group): Job(together, {GROUP_SIZE: group}, queried=queried) for group in groups})
    done = dict(zip(jobs, compile_all(list(jobs.values())), strict=True))
    return {
        (zoo, case): _compared(target, case, sites[zoo, case], {group: done[zoo, group] for group in groups})
        for zoo, (builds, groups) in zoos.items()
        for case in builds
    }


def _compared(target: Target, case: str, sites: list[CompressedMatMul], done: Mapping[int, Observation]) -> Compared:
    said = {site.name: {group: at_compile_time(target, site, group) for group in done} for site in sites}
    names = [name for name in next(iter(done.values())).groups if name.startswith(f"{case}/")]
    did = {name[len(case) + 1 :]: {group: seen.groups[name] for group, seen in done.items()} for name in names}
    nothing: Groups = dict.fromkeys(done)
    if all(matmul.names for seen in done.values() for matmul in seen.matmuls if matmul.group_size is not None):
        did = {**{site.name: nothing for site in sites}, **did}  # no quantizer could belong to those without a name
    return Compared({name: said.get(name, nothing) for name in {**said, **did}}, did, sites)


_EACH_RULE = {
    "weight groups": ("i8-channel", "u8-channel-zp", "u4-g32-zp", "i4-g64-k576", "i8-k1056", "i8-k96"),
    "formats": ("w_u8_asym_g32", "w_u2_ch", "w_nf4_ch", "w_f8e4m3_ch", "w_cb4_g64", "w_u4_asym_g128_f16zp_noconvert"),
    "K": ("i8-k160", "i8-k192", "i8-k500", "i8-k576", "i4-k48"),
    "shapes": ("rank-1", "rank-2", "rank-4", "static-64", "n1", "weights-first-w_i8_sym_ch"),
    "chains": ("multiply-transpose-transpose", "scale-i32", "u4-zero-point-i32", "batch-of-one-on-rank-2"),
    "quantized by the model": ("signed", "gelu"),
    "structures": ("trio-mixed", "lora"),
}
FEW: Zoos = {
    "rules": ({case: ZOOS[zoo][0][case] for zoo, cases in _EACH_RULE.items() for case in cases}, FEW_GROUPS),
}
"""A case for each rule: for devices that follow the rules of another, of which all cases are compiled."""
