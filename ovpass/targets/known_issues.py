"""Known issues of released OpenVINO versions, with their sources.

The versions 2026.1.0 to 2026.4.1 were compared by their released wheels: what the CPU plugin computes, what the GPU
plugin compiles for a simulated Arc A770, and the kernels' source, which is text inside the plugin.
"""

from __future__ import annotations

from dataclasses import dataclass

_REPOSITORY = "https://github.com/openvinotoolkit/openvino"

Version = tuple[int, ...]
"""Year, release, patch."""


@dataclass(frozen=True)
class KnownIssue:
    """One difference. `first` is the first version known to have it, `fixed` the first without it, None: none yet.

    `advice` says what ovpass does about it, or what its user can do. `links` are issues and pull requests; `shown_by`
    is the test that shows it on the installed version, None where no device at hand can.
    """

    name: str
    targets: tuple[str, ...]
    first: Version
    fixed: Version | None
    symptom: str
    advice: str
    links: tuple[str, ...] = ()
    shown_by: str | None = None

    def affects(self, version: Version) -> bool:
        """Whether that version has it."""
        return self.first <= version and (self.fixed is None or version < self.fixed)


def _pull(number: int) -> str:
    return f"{_REPOSITORY}/pull/{number}"


def _issue(number: int) -> str:
    return f"{_REPOSITORY}/issues/{number}"


_OLDEST = (2026, 1, 0)
"""The first version that ovpass runs with: what is called first there can be older."""

KNOWN_ISSUES = (
    KnownIssue(
        name="cpu-bf16",
        targets=("cpu",),
        first=_OLDEST,
        fixed=(2026, 3, 0),
        symptom="A CPU that computes in bf16 quantizes nothing, whatever the group size, also without AMX.",
        advice="Plans for target cpu ask for f32 compute, in which every version quantizes. `ovpass explain` goes by "
        "2026.3 and later, where a CPU with bf16 but without AMX quantizes in bf16 as well.",
        links=(_pull(35726),),
    ),
    KnownIssue(
        name="large-groups",
        targets=("gpu-xmx",),
        first=_OLDEST,
        fixed=(2026, 2, 1),
        symptom="Groups so large that several sub-groups of the kernel share one are reduced wrongly: wrong numbers.",
        advice="Update OpenVINO, or stay with per-token or a small group size.",
        links=(_pull(36147), _pull(36311)),
    ),
    KnownIssue(
        name="sub-group-sync",
        targets=("gpu-xmx",),
        first=_OLDEST,
        fixed=(2026, 3, 0),
        symptom="Sub-groups that share a group can miss one another's maximum, by what seems a fault of the compiler.",
        advice="Update OpenVINO, or stay with per-token or a small group size.",
        links=(_pull(36394),),
    ),
    KnownIssue(
        name="shared-kernel",
        targets=("gpu-xmx",),
        first=_OLDEST,
        fixed=(2026, 3, 1),
        symptom="Per token, two activations whose last dimension is dynamic share one kernel though their K differs: "
        "garbage from int4 vision-language models whose layers have attention of two widths, Gemma 4 for one.",
        advice="Update OpenVINO, or ship a group size in the model: `ovpass apply --group-size 128`.",
        links=(_pull(37140), _pull(37222)),
    ),
    KnownIssue(
        name="uneven-work-groups",
        targets=("gpu-xmx",),
        first=_OLDEST,
        fixed=(2026, 4, 0),
        symptom="In groups, work that does not fill the kernel's last work-group is left to the driver: it needs "
        "non-uniform work-groups. Through Level Zero, corrupted output now and then.",
        advice="Update OpenVINO where it runs through Level Zero; OpenCL drivers of these devices allow it.",
        links=(_pull(36624), _pull(37605)),
    ),
    KnownIssue(
        name="hybrid-attention",
        targets=("gpu-xmx",),
        first=(2026, 2, 0),
        fixed=None,
        symptom="In models with linear attention (GatedDeltaNet: Qwen3-Next, Qwen3.5; Mamba2 by the pull request) "
        "per-token becomes groups of 128, which a zero point's group caps, for accuracy. The compiled model says so, "
        "the property does not.",
        advice="Plans say so of each site. Ask for a group size instead of per-token: it is obeyed.",
        links=(_pull(35961),),
        shown_by="tests/zoo/test_zoo.py",
    ),
    KnownIssue(
        name="xe2-groups",
        targets=("gpu-xmx",),
        first=_OLDEST,
        fixed=None,
        symptom="On Xe2 and later (Arc B series, Core Ultra 200V), per-token becomes groups of 128 where weights have "
        "8 bits, and the property still says per token. By the same source a layer is then left alone whose K is "
        "larger than 128 and no multiple of it. The rules of target gpu-xmx were checked on a simulated Arc A770, "
        "which is older.",
        advice="Give a group size to be sure, `ovpass apply --group-size 64` or another that fits the model. `ovpass "
        "verify --device GPU` on such a device says what its plugin did.",
        links=(_pull(32493),),
    ),
    KnownIssue(
        name="no-kernel",
        targets=("gpu-xmx",),
        first=(2026, 3, 0),
        fixed=None,
        symptom="Some group sizes far beyond K compile, and the first inference fails: 'Could not find a suitable "
        "kernel for dynamicquantize'.",
        advice="ovpass refuses them, naming the site and a size that works. Per-token is never among them.",
        links=(_pull(30660),),
        shown_by="tests/targets/test_gpu_xmx.py",
    ),
    KnownIssue(
        name="fused-trio",
        targets=("gpu-xmx",),
        first=_OLDEST,
        fixed=None,
        symptom="Three MatMuls of one activation (Q, K, V) are fused, and compilation fails where only one of them has "
        "a floating-point zero point, or scales of another shape.",
        advice="ovpass exempts single ones by another method, or asks for all three.",
        links=(_pull(24991),),
        shown_by="tests/passes/test_native_gpu.py",
    ),
    KnownIssue(
        name="threshold-changes-numbers",
        targets=("gpu-xmx",),
        first=_OLDEST,
        fixed=None,
        symptom="Up to 64 tokens nothing is quantized, above everything is: a request can get other numbers alone than "
        "in a batch. A pull request that changed that was reverted, since it cost speed.",
        advice="`ovpass evaluate` emulates the threshold. `--threshold 0` takes it away, at a price: the pull request "
        "that was reverted had made second tokens of 4-bit models some 57 % slower on an A770.",
        links=(_pull(36078), _pull(36927)),
        shown_by="tests/targets/test_gpu_xmx.py",
    ),
    KnownIssue(
        name="experts",
        targets=("gpu-xmx",),
        first=(2026, 2, 0),
        fixed=None,
        symptom="The experts of mixture-of-experts models become one op of the plugin's own, which its compiled "
        "model does not show as MatMuls. Some do not compile, and int8 ones failed on long prompts on an Arc 140T "
        "(2026.3.1).",
        advice="Plans leave them out as unknown; lowering emulate takes them.",
        links=(_issue(38211),),
        shown_by="tests/zoo/test_zoo.py",
    ),
)
"""In the order in which versions fixed them."""


def known_issues(version: Version, target: str | None = None) -> tuple[KnownIssue, ...]:
    """Those of a version, and of a target if one is named."""
    return tuple(
        issue for issue in KNOWN_ISSUES if issue.affects(version) and (target is None or target in issue.targets)
    )
