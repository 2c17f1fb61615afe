"""What ovpass predicts of hundreds of MatMuls beside what the plugins of this OpenVINO do, as Markdown.

python scripts/device_tables.py -o docs/devices.md          # all of it, a quarter of an hour
python scripts/device_tables.py --simulate all              # every device that is sold: one line each, and what differs
python scripts/device_tables.py --simulate arc-b580 --cpu

It exits with 1 where a plugin does not do what ovpass predicts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import click
import openvino as ov

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ovpass.planning.plan import describe_weights  # noqa: E402
from ovpass.sites import CompressedMatMul  # noqa: E402
from ovpass.support.cpu_features import has_vnni  # noqa: E402
from ovpass.targets import GPU_NO_XMX, GPU_XE3P, TARGETS, Target  # noqa: E402
from ovpass.targets.group_sizes import format_group_size  # noqa: E402
from ovpass.targets.names import get_profile, get_target, profiles  # noqa: E402
from ovpass.verification.driver import current_driver, format_version  # noqa: E402
from ovpass.verification.simulated_gpu import installed_version  # noqa: E402
from tests.simulated_gpu import compile_on_simulated_gpu  # noqa: E402
from tests.targets import cpu_table, gpu_table, no_xmx_table  # noqa: E402
from tests.targets.compared import Compared, Groups  # noqa: E402

PREVIEW = "nova-lake"
COMMAND = "python scripts/device_tables.py -o docs/devices.md"
INTRODUCTION = f"""# What each device does, case by case

Written by `{COMMAND}`,
which compiles every case and exits with 1 if a plugin differs from ovpass's prediction. Run it again with the next
OpenVINO, or the next driver.

A cell lists the group sizes, of those above the table, that quantize the MatMul. "512 to 4096 as 512" are requested
sizes and the effective one. "As asked" and "never" stand for all sizes. Weights are type, symmetry, group size and
N x K.

GPUs are [simulated](verify.md): OpenVINO's GPU plugin and Intel's driver are the real ones, and compile for a device
that is not there. Each generation of GPUs has one table; the devices of a generation agree in all of it.
What GPUs make of the kernels for vector-quantized weights is [told there](kernels.md#on-a-gpu).
"""


@dataclass(frozen=True)
class Row:
    """One MatMul of one case."""

    case: str
    name: str
    weights: str
    activation: str
    predicted: Groups
    plugin: Groups | None

    @property
    def agrees(self) -> bool:
        """Whether the plugin did what was predicted."""
        return self.predicted == self.plugin


def rows(case: str, compared: Compared) -> Iterator[Row]:
    by_name = {site.name: site for site in compared.sites}
    for index, (name, predicted) in enumerate(compared.said.items()):
        numbered = compared.sites[index] if index < len(compared.sites) else None
        site = by_name.get(name, numbered)
        weights = "not compressed" if site is None else describe_weights(site)
        yield Row(case, name.rpartition("/")[2], weights, activation(site), predicted, compared.did.get(name))


def activation(site: CompressedMatMul | None) -> str:
    if site is None or site.activation_rank is None:
        return "-"
    notes = ["static"] if site.activation_static else []
    notes += ["transposed"] if site.transposed_activation else []
    notes += ["second input"] if site.weights_input == 0 else []
    return ", ".join([f"rank {site.activation_rank}", *notes])


def cell(groups: Groups | None) -> str:
    if groups is None:
        return "no such MatMul"
    if all(found == asked for asked, found in groups.items()):
        return "as asked"
    if not any(groups.values()):
        return "never"
    return ", ".join(granted(groups))


def granted(groups: Groups) -> Iterator[str]:
    """The sizes that work; those in a row that become one and the same, together."""
    for found, run in groupby(groups, key=lambda asked: groups[asked]):
        asked = list(run)
        if found is None:
            continue
        ends = " to ".join(str(format_group_size(size)) for size in (asked[0], asked[-1])[: len(asked)])
        yield ends if asked == [found] else f"{ends} as {format_group_size(found)}"


def table(found: Sequence[Row]) -> Iterator[str]:
    """With a column for names where cases have more than the one MatMul of most."""
    named = len({row.name for row in found}) > 1
    head = ("case", *(["MatMul"] if named else []), "weights", "activation", "predicted", "plugin")
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in found:
        name = [row.name] if named else []
        did = cell(row.plugin) + ("" if row.agrees else " **differs**")
        yield f"| {' | '.join((row.case, *name, row.weights, row.activation, cell(row.predicted), did))} |"


Found = Mapping[tuple[str, str], Compared]
"""By table and case."""


@dataclass(frozen=True)
class Measured:
    """One device: its tables with the group sizes that were asked for, and what was found."""

    name: str
    what: str
    zoos: Mapping[str, Sequence[int]]
    found: Found

    @property
    def rows(self) -> dict[str, list[Row]]:
        """By table."""
        return {
            zoo: [row for (of, case), one in self.found.items() if of == zoo for row in rows(case, one)]
            for zoo in self.zoos
        }

    @property
    def differing(self) -> list[Row]:
        """What is not as predicted."""
        return [row for found in self.rows.values() for row in found if not row.agrees]

    def line(self) -> str:
        """The outcome in a line."""
        matmuls, wrong = sum(map(len, self.rows.values())), len(self.differing)
        verdict = f"{wrong} not as predicted" if wrong else "all as predicted"
        return f"{self.name}: {len(self.found)} cases, {matmuls} MatMuls, {verdict}; {self.what}"


def section(title: str, devices: Sequence[Measured]) -> list[str]:
    """The table of a family, which is that of its first device; of the others only what is not as predicted."""
    lines = ["", f"## {title}", "", *(f"- {device.line()}" for device in devices)]
    for zoo, asked in devices[0].zoos.items():
        sizes = ", ".join(str(format_group_size(size)) for size in asked)
        lines += ["", f"### {zoo}", "", f"Group sizes asked for: {sizes}.", "", *table(devices[0].rows[zoo])]
    for device in devices[1:]:
        if device.differing:
            lines += ["", f"### {device.name}", "", *table(device.differing)]
    return lines


def zoos_of(target: Target) -> gpu_table.Zoos:
    """The cases of a generation of GPUs with XMX; a newer one's are those that it adds."""
    return gpu_table.XE3P_ZOOS if target is GPU_XE3P else gpu_table.ZOOS


def on_gpu(name: str) -> Measured:
    profile, target = get_profile(name), get_target(name)
    compile_all = partial(compile_on_simulated_gpu, profile=profile.name)
    driver = format_version(installed_version(current_driver()) or ())
    what = f"{profile.title}, driver {driver}"
    if target is GPU_NO_XMX:
        zoos = {zoo: groups for zoo, (_, groups) in no_xmx_table.ZOOS.items()}
        return Measured(profile.name, what, zoos, no_xmx_table.compared_without_xmx(compile_all))
    zoos = {zoo: groups for zoo, (_, groups) in zoos_of(target).items()}
    return Measured(profile.name, what, zoos, gpu_table.compared_on_gpu(target, compile_all, zoos_of(target)))


def on_cpu() -> Measured:
    if not has_vnni():
        raise click.UsageError("this CPU has no VNNI instructions: the CPU plugin quantizes nothing on it")
    zoos = {zoo: groups for zoo, (_, groups) in cpu_table.ZOOS.items()}
    name = ov.Core().get_property("CPU", "FULL_DEVICE_NAME")
    return Measured("cpu", f"{name}, computing in f32", zoos, cpu_table.compared_on_cpu())


def chosen(simulate: Sequence[str]) -> list[str]:
    """The devices of these names, without any all generations; `all` are those that are sold."""
    names = [name for name, profile in profiles().items() if not profile.preview]
    if not simulate:
        return [*names, PREVIEW]
    return names if "all" in simulate else [get_profile(name).name for name in simulate]


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write all tables here.")
@click.option("--simulate", multiple=True, metavar="DEVICE", help="Only this GPU, or all (repeatable).")
@click.option("--cpu", is_flag=True, help="The CPU, too, where --simulate names GPUs.")
def main(output: Path | None, simulate: Sequence[str], cpu: bool) -> None:
    """Compare devices with what ovpass predicts: one line each, or all tables in a file."""
    families: dict[str, list[Measured]] = {}
    click.echo(f"OpenVINO {ov.get_version()}")
    for name in chosen(simulate):
        families.setdefault(get_target(name).name, []).append(_told(on_gpu(name)))
    if cpu or not simulate:
        families["cpu"] = [_told(on_cpu())]
    if output is not None:
        lines = [*INTRODUCTION.splitlines(), "", f"OpenVINO {ov.get_version()}."]
        for target, devices in families.items():
            lines += section(f"`{target}`: {TARGETS[target].title}", devices)
        output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    agree = not any(device.differing for devices in families.values() for device in devices)
    sys.exit(0 if agree else 1)


def _told(device: Measured) -> Measured:
    click.echo(device.line())
    if device.differing:
        click.echo("\n".join(table(device.differing)))
    return device


if __name__ == "__main__":
    main()
