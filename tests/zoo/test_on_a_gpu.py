"""Real exports on the GPU plugin, which is asked about all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

import ovpass
from ovpass.ir.files import open_source
from ovpass.lowerings.planner import plan_sites
from ovpass.targets.group_sizes import PER_TOKEN
from ovpass.transformation.loading import Loaded, load
from ovpass.verification import Observation, Order, SimulatedGpu
from ovpass.verification.report import SiteCheck, compare
from tests.builders import linear_model
from tests.cli.command import CommandLine
from tests.simulated_gpu import Job
from tests.zoo.conftest import DEVICE
from tests.zoo.expected import ON_GPU
from tests.zoo.exports import NAMES, ZOO, core, exports, sites

Compile = Callable[[Sequence[Job], float | None], list[Observation]]

REFUSED = {"mixtral/openvino_model.xml": "MOECompressed config.group_size==SIZE_MAX (per-channel)"}
"""What the plugin does not compile, and why: here an expert's K is one group of its weights, another's is two."""
IN_GROUPS = ("bert", "llama", "phi3", "qwen3-moe", "qwen3-next")
"""Models with an explicit group size, too: of every kind of weights, and what has rules of its own."""
COMPILED = (*IN_GROUPS, "mixtral")
"""Models to compile; the plugin is asked for its graph of the others, which takes no kernels."""


@pytest.fixture(scope="module")
def on_gpu(simulated: Callable[[str], Callable[[Sequence[Job]], list[Observation]]]) -> Mapping[Path, Observation]:
    """What the GPU plugin makes of every model on DEVICE, by the path of its .xml."""
    paths = [export.path for export in exports()]
    jobs = [Job(path, queried=path.relative_to(ZOO).parts[0] not in COMPILED) for path in paths]
    return dict(zip(paths, simulated(DEVICE)(jobs), strict=True))


def unlike_planned(loaded: Loaded, seen: Observation, device: str, group_size: int | None = None) -> list[SiteCheck]:
    settings = ovpass.Settings(target=device, group_size=group_size)
    plan = plan_sites(loaded.sites, settings, loaded.document.metadata)
    return [check for check in compare(plan, seen.groups) if not check.agrees]


def test_the_plugin_does_as_planned(on_gpu: Mapping[Path, Observation]) -> None:
    """By default, on every model that it compiles."""
    refused = {}
    for loaded in [loaded for name in NAMES for loaded in load(open_source(ZOO / name))]:
        seen = on_gpu[loaded.ir.xml]
        if seen.error is not None:
            refused[loaded.ir.xml.relative_to(ZOO).as_posix()] = seen.error
        else:
            assert not unlike_planned(loaded, seen, DEVICE)
    assert refused.keys() == REFUSED.keys()
    assert all(REFUSED[key] in refused[key] for key in refused)


def test_the_plugin_does_as_planned_in_groups(simulated_gpu: Compile) -> None:
    models = [loaded for name in IN_GROUPS for loaded in load(open_source(ZOO / name))]
    jobs = [Job(loaded.ir.xml, {"DYNAMIC_QUANTIZATION_GROUP_SIZE": 64}, queried=True) for loaded in models]
    for loaded, seen in zip(models, simulated_gpu(jobs, None), strict=True):
        assert seen.error is None
        assert not unlike_planned(loaded, seen, "arc-a770", 64)


def test_linear_attention_changes_the_group_of_every_site(simulated_gpu: Compile) -> None:
    """Of those beside it as well: groups of 128, with all that this means for their K."""
    model = core().read_model(ZOO / "qwen3-next/openvino_model.xml")
    for k in (96, 512, 576):
        beside = linear_model("w_i8_sym_ch", k=k)
        for node in beside.get_ops():
            node.set_friendly_name(f"{node.get_friendly_name()}-{k}")
        model.add_parameters(beside.get_parameters())
        model.add_results(beside.get_results())
    plan = ovpass.make_plan(model, ovpass.Settings(group_size=PER_TOKEN))
    (seen,) = simulated_gpu([Job(model, queried=True)], None)
    assert all(check.agrees for check in compare(plan, seen.groups))
    assert [seen.groups.get(f"linear-{k}") for k in (96, 512, 576)] == [128, 128, None]


@pytest.mark.parametrize("name", NAMES)
def test_verify_on_the_gpu(
    ovpass: CommandLine, name: str, on_gpu: Mapping[Path, Observation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers are the plugin's, which was asked about all models at once."""

    def look(_: SimulatedGpu, orders: Sequence[Order], environment: Mapping[str, str]) -> list[Observation]:
        assert not environment
        assert not any(order.config or order.tokens or order.traced for order in orders)
        return [on_gpu[Path(order.model)] for order in orders]

    monkeypatch.setattr(SimulatedGpu, "look", look)
    ran = ovpass("verify", ZOO / name, "--simulate", DEVICE, "--json")
    if name in ON_GPU:
        assert (ran.code, ran.out, ON_GPU[name] in ran.err) == (2, "", True)
    else:
        assert ran.code == 0
        assert ran.json["ok"]
        assert sorted(site["name"] for site in ran.json["sites"]) == sites(name)
