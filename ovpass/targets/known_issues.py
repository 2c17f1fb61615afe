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


_XMX = ("gpu-xmx", "gpu-xe2", "gpu-xe3p")
_OLDEST = (2026, 1, 0)
"""The first version that ovpass runs with: what is called first there can be older."""

KNOWN_ISSUES = (
    KnownIssue(
        name="cpu-bf16",
        targets=("cpu",),
        first=_OLDEST,
        fixed=(2026, 3, 0),
        symptom="A CPU that computes in bf16 quantizes nothing with any group size, also without AMX.",
        advice="Plans for target cpu set f32 compute, in which every version quantizes. `ovpass explain` follows "
        "2026.3 and later, where a CPU with bf16 but without AMX also quantizes in bf16.",
        links=(_pull(35726),),
    ),
    KnownIssue(
        name="large-groups",
        targets=_XMX,
        first=_OLDEST,
        fixed=(2026, 2, 1),
        symptom="The kernel computes wrong numbers for groups so large that several of its sub-groups share one.",
        advice="Update OpenVINO, or use per-token or a small group size.",
        links=(_pull(36147), _pull(36311)),
    ),
    KnownIssue(
        name="sub-group-sync",
        targets=_XMX,
        first=_OLDEST,
        fixed=(2026, 3, 0),
        symptom="Sub-groups that share a group can miss each other's maximum, probably because of a compiler error.",
        advice="Update OpenVINO, or use per-token or a small group size.",
        links=(_pull(36394),),
    ),
    KnownIssue(
        name="shared-kernel",
        targets=_XMX,
        first=_OLDEST,
        fixed=(2026, 3, 1),
        symptom="Per token, two activations with a dynamic last dimension share one kernel although their K differs. "
        "int4 vision-language models whose layers have attention of two widths, such as Gemma 4, give garbage.",
        advice="Update OpenVINO, or ship a group size in the model: `ovpass apply --group-size 128`.",
        links=(_pull(37140), _pull(37222)),
    ),
    KnownIssue(
        name="uneven-work-groups",
        targets=_XMX,
        first=_OLDEST,
        fixed=(2026, 4, 0),
        symptom="With groups, the kernel needs non-uniform work-groups from the driver if work does not fill the last "
        "work-group. With Level Zero, outputs are sometimes corrupted.",
        advice="Update OpenVINO if it uses Level Zero. OpenCL drivers of these devices support it.",
        links=(_pull(36624), _pull(37605)),
    ),
    KnownIssue(
        name="hybrid-attention",
        targets=_XMX,
        first=(2026, 2, 0),
        fixed=None,
        symptom="In models with linear attention (GatedDeltaNet: Qwen3-Next, Qwen3.5; Mamba2 according to the pull "
        "request), per-token becomes groups of 128 for accuracy, capped by the group size of zero points. The "
        "compiled model shows it, the property does not.",
        advice="Plans say so for each site. Set a group size instead of per-token: the plugin uses it.",
        links=(_pull(35961),),
        shown_by="tests/zoo/test_zoo.py",
    ),
    KnownIssue(
        name="xe2-groups",
        targets=("gpu-xe2", "gpu-xe3p"),
        first=_OLDEST,
        fixed=None,
        symptom="On Xe2 and later (Arc B series, Core Ultra 200V and 300), per-token becomes groups of 128 for 8-bit "
        "weights, and the property still says per token. A layer is then not quantized if its K is larger than 128 and "
        "not a multiple of it.",
        advice="`ovpass plan --target arc-b580` says which sites get nothing by default. Set a group size that fits, "
        "such as `ovpass apply --group-size 64`.",
        links=(_pull(32493),),
        shown_by="tests/targets/test_simulated_devices.py",
    ),
    KnownIssue(
        name="no-kernel",
        targets=_XMX,
        first=(2026, 3, 0),
        fixed=None,
        symptom="Some group sizes far beyond K compile, and the first inference fails: 'Could not find a suitable "
        "kernel for dynamicquantize'.",
        advice="ovpass rejects them with an error that names the site and a size that works. Per-token is never "
        "affected.",
        links=(_pull(30660),),
        shown_by="tests/targets/test_gpu_xmx.py",
    ),
    KnownIssue(
        name="division-by-zero",
        targets=_XMX,
        first=(2026, 4, 0),
        fixed=None,
        symptom="u4 and i4 weights with a zero point per channel, in groups below K, end the process with SIGFPE: at "
        "the first inference of more than 64 tokens, and with static shapes when the model is compiled. Seen on "
        "simulated devices of each generation with a driver of 2026, and not with one of 2022; not reported yet.",
        advice="`ovpass plan` and `ovpass verify` name such sites, and `ovpass apply` refuses them without "
        "`--allow-crash`. Per-token works, and so do weights in groups.",
        shown_by="tests/planning/test_crashes.py",
    ),
    KnownIssue(
        name="fused-trio",
        targets=_XMX,
        first=_OLDEST,
        fixed=None,
        symptom="The plugin fuses three MatMuls of one activation (Q, K, V), and compilation fails if only one of "
        "them has a floating-point zero point, or scales of another shape.",
        advice="ovpass exempts a single one with another method, or requires all three.",
        links=(_pull(24991),),
        shown_by="tests/passes/test_native_gpu.py",
    ),
    KnownIssue(
        name="threshold-changes-numbers",
        targets=_XMX,
        first=_OLDEST,
        fixed=None,
        symptom="The plugin quantizes nothing up to 64 tokens and everything above, so a request can give other "
        "numbers alone than in a batch. A pull request that changed this was reverted because it reduced speed.",
        advice="`ovpass evaluate` emulates the threshold. `--threshold 0` removes it, but the reverted pull request "
        "made second tokens of 4-bit models about 57 % slower on an A770.",
        links=(_pull(36078), _pull(36927)),
        shown_by="tests/targets/test_gpu_xmx.py",
    ),
    KnownIssue(
        name="experts",
        targets=_XMX,
        first=(2026, 2, 0),
        fixed=None,
        symptom="The plugin fuses the experts of mixture-of-experts models into its own op, which the compiled model "
        "does not show as MatMuls. Some do not compile, and int8 experts failed on long prompts on an Arc 140T "
        "(2026.3.1).",
        advice="Plans skip them as unknown. The emulate lowering supports them.",
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
