"""MatMuls by the hundred on the GPU plugin: what target gpu-xmx says of each, and what the plugin does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ovpass.ir.runtime_options import GROUP_SIZE
from ovpass.sites import CompressedMatMul, find_compressed_matmuls
from ovpass.targets import GPU_XMX
from ovpass.targets.gpu_xmx import NO_KERNEL
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.verification import Seen
from tests.builders import (
    attention_model,
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
ZOOS: dict[str, tuple[dict[str, Build], tuple[int, ...]]] = {
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


def at_compile_time(site: CompressedMatMul, group_size: int) -> int | None:
    """The verdict, as far as compilation can tell: a group without a kernel throws at infer only."""
    verdict = GPU_XMX.verdict(site, group_size)
    return GPU_XMX.adjusted(site, group_size)[0] if verdict.rule == NO_KERNEL else verdict.group_size


def compared_on_gpu(compile_all: Callable[[list[Job]], list[Seen]]) -> dict[tuple[str, str], Compared]:
    """For each case of each zoo the groups by MatMul, as the target says and as the plugin did."""
    sites: dict[tuple[str, str], list[CompressedMatMul]] = {}
    jobs: dict[tuple[str, int], Job] = {}
    for zoo, (builds, groups) in ZOOS.items():
        models = {case: build() for case, build in builds.items()}
        sites.update({(zoo, case): find_compressed_matmuls(model) for case, model in models.items()})
        together = merged(models)
        jobs.update({(zoo, group): Job(together, {GROUP_SIZE: group}) for group in groups})
    done = dict(zip(jobs, compile_all(list(jobs.values())), strict=True))
    return {
        (zoo, case): _compared(zoo, case, sites[zoo, case], done)
        for zoo, (builds, _) in ZOOS.items()
        for case in builds
    }


def _compared(zoo: str, case: str, sites: list[CompressedMatMul], done: Mapping[tuple[str, int], Seen]) -> Compared:
    asked = ZOOS[zoo][1]
    said = {site.name: {group: at_compile_time(site, group) for group in asked} for site in sites}
    names = [name for name in done[zoo, asked[0]].groups if name.startswith(f"{case}/")]
    did = {name[len(case) + 1 :]: {group: done[zoo, group].groups[name] for group in asked} for name in names}
    nothing: Groups = dict.fromkeys(asked)
    if all(matmul.names for group in asked for matmul in done[zoo, group].matmuls if matmul.group_size is not None):
        did = {**{site.name: nothing for site in sites}, **did}  # no quantizer could belong to those without a name
    return Compared({name: said.get(name, nothing) for name in {**said, **did}}, did, sites)
