"""Plan the kernel lowering: which MatMuls an op of our own replaces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ovpass.errors import SettingsError
from ovpass.formats.vector_chain import VectorChain
from ovpass.kernels.costs import Costs, costs_of
from ovpass.kernels.shape import KernelShape, gpu_obstacle, obstacle
from ovpass.planning.plan import EXEMPT, REPLACE, SKIP, Decision, Plan, decide
from ovpass.planning.resolve import Wanted, resolve
from ovpass.settings.settings import Settings
from ovpass.sites import CompressedMatMul
from ovpass.targets.names import get_target

_LARGEST_ACTIVATION_RANK = 4


def plan_kernel(sites: Sequence[CompressedMatMul], settings: Settings) -> Plan:
    """A Plan that replaces MatMuls with vector-quantized weights where a kernel is expected to be faster.

    What is not replaced stays as it is, and runs as by default.

    Raises:
        SettingsError: for settings of quantized activations.
    """
    _check(settings)
    target = get_target(settings.target)
    wanted = resolve(sites, settings)
    costs = costs_of(target.device)
    together = _together([item.site for item in wanted if not item.exempt and _obstacle(item.site) is None])
    decisions = tuple(_decide(item, together.get(item.site.name, []), costs, target.device) for item in wanted)
    replaced = any(decision.action == REPLACE for decision in decisions)
    notes = () if not replaced else _notes(target.device)
    return Plan(settings=settings, decisions=decisions, model_group_size=target.default_group_size, notes=notes)


def _notes(device: str) -> tuple[str, ...]:
    if device == "CPU":
        return (
            "run it with 'ovpass run' or ovpass.load, or add ovpass.kernels.library() to the extensions of OpenVINO; "
            "it is built by the C++ compiler of the machine that runs the model",
        )
    return (
        "run it with ovpass.load, or add the op and CONFIG_FILE of ovpass.kernels.write_gpu_kernels to OpenVINO",
        "the time of the kernels was not measured on a GPU of Intel's",
    )


def _decide(item: Wanted, together: Sequence[CompressedMatMul], costs: Costs | None, device: str) -> Decision:
    site = item.site
    if item.exempt:
        return decide(site, EXEMPT, f"exempt by {item.because}")
    if why := _obstacle(site):
        return decide(site, SKIP, why)
    shape = fused_shape(together)
    if device != "CPU" and (why := gpu_obstacle(shape)):
        return decide(site, SKIP, why)
    with_others = f", one op with {len(together) - 1} more that read {site.group_id}" if len(together) > 1 else ""
    if costs is None:
        return decide(site, REPLACE, f"{_words(site)}{with_others}")
    ratio = costs.ratio(shape)
    expected = f"expected {ratio:.2f} of the time of decompressed weights at one token"
    action = REPLACE if ratio < 1 else SKIP
    return decide(site, action, f"{_words(site)}{with_others}: {expected}", expected_ratio=round(ratio, 4))


def _words(site: CompressedMatMul) -> str:
    assert isinstance(site.weights, VectorChain)
    return f"vectors {site.weights.encoding.in_words}"


def _together(sites: Sequence[CompressedMatMul]) -> dict[str, list[CompressedMatMul]]:
    """The sites that become one op, by the name of each."""
    return {site.name: group for group in fused(sites) for site in group}


def fused(sites: Sequence[CompressedMatMul]) -> list[list[CompressedMatMul]]:
    """The sites of each op: they share an activation and codebooks."""
    groups: dict[tuple[object, ...], list[CompressedMatMul]] = defaultdict(list)
    for site in sites:
        groups[_in_common(site)].append(site)
    return list(groups.values())


def _in_common(site: CompressedMatMul) -> tuple[object, ...]:
    chain = site.weights
    assert isinstance(chain, VectorChain), f"{site.name} is not vector-quantized"
    source = site.graph.inputs[site.index][1 - site.weights_input]
    return id(site.graph), source, tuple(lookup.codebook for lookup in chain.lookups), chain.encoding


def fused_shape(group: Sequence[CompressedMatMul]) -> KernelShape:
    """The shape of the op for sites that `fused` puts together."""
    chain = group[0].weights
    assert isinstance(chain, VectorChain)
    encoding = chain.encoding
    rows = sum(site.n for site in group)
    return KernelShape(group[0].k, rows, encoding.vector_length, max(encoding.entries), len(encoding.entries))


def _obstacle(site: CompressedMatMul) -> str | None:
    """Why a MatMul stays, or None."""
    chain = site.weights
    if not isinstance(chain, VectorChain):
        return f"its weights are {site.stored_as}, for which there is no kernel"
    rank = site.activation_rank
    reasons = {
        "the kernels take no shift and no permutation of columns": (chain.shift, chain.permutation) != (None, None),
        "the model itself quantizes the activation": site.noncanonical or site.static_path,
        "the activation is transposed": site.transposed_activation,
        "its activation is not on the first input with one to four dimensions": site.weights_input != 1
        or rank is None
        or rank > _LARGEST_ACTIVATION_RANK,
        "it is marked precise": site.precise,
    }
    return next((why for why, holds in reasons.items() if holds), None) or obstacle(chain.encoding)


def _check(settings: Settings) -> None:
    given = [
        name
        for name, value, default in (
            ("group_size", settings.group_size, None),
            ("threshold", settings.threshold, None),
            ("axis", settings.axis, -1),
            ("symmetric", settings.symmetric, True),
        )
        if value != default
    ]
    given += [f"rule {rule.match!r}" for rule in settings.rules if not rule.exempt]
    if given:
        raise SettingsError(
            f"{given[0]}: lowering kernel quantizes no activations; leave it out, or use lowering native for the rest"
        )
