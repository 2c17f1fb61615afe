"""What ovpass predicts of hundreds of MatMuls beside what the plugins of this OpenVINO do, as Markdown.

python scripts/device_tables.py -o docs/devices.md          # five minutes; exits with 1 where they disagree
python scripts/device_tables.py --device cpu                # half a minute, to standard output
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click
import openvino as ov

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ovpass.planning.plan import describe_weights  # noqa: E402
from ovpass.sites import CompressedMatMul  # noqa: E402
from ovpass.targets.group_sizes import format_group_size  # noqa: E402
from tests.simulated_gpu import compile_on_simulated_gpu  # noqa: E402
from tests.targets import cpu_table, gpu_table  # noqa: E402
from tests.targets.compared import Compared, Groups  # noqa: E402

COMMAND = "python scripts/device_tables.py -o docs/devices.md"
DEVICES = ("gpu", "cpu")
INTRODUCTION = f"""# What each device does, case by case

Written by `{COMMAND}`,
which compiles every case and exits with 1 if a plugin differs from ovpass's prediction. Run it again with the next
OpenVINO.

A cell lists the group sizes, of those above the table, that quantize the MatMul. "512 to 4096 as 512" are requested
sizes and the effective one. "As asked" and "never" stand for all sizes. Weights are type, symmetry, group size and
N x K.

The GPU with XMX is a simulated Arc A770. On Xe2 and later (Arc B series, Core Ultra 200V), per token means groups of
128 for 8-bit weights, according to the plugin's source ([known issue](known-issues.md#xe2-groups)).
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


def section(title: str, zoos: Mapping[str, Sequence[int]], found: Mapping[tuple[str, str], Compared]) -> list[str]:
    by_zoo = {zoo: [row for (of, case), one in found.items() if of == zoo for row in rows(case, one)] for zoo in zoos}
    everything = [row for each in by_zoo.values() for row in each]
    wrong = sum(not row.agrees for row in everything)
    verdict = f"{wrong} of them not as predicted" if wrong else "all as predicted"
    lines = ["", f"## {title}", "", f"{len(found)} cases, {len(everything)} MatMuls, {verdict}."]
    for zoo, asked in zoos.items():
        sizes = ", ".join(str(format_group_size(size)) for size in asked)
        lines += ["", f"### {zoo}", "", f"Group sizes asked for: {sizes}.", "", *table(by_zoo[zoo])]
    return lines


def gpu() -> tuple[str, Mapping[str, Sequence[int]], dict[tuple[str, str], Compared]]:
    zoos = {zoo: groups for zoo, (_, groups) in gpu_table.ZOOS.items()}
    return "GPU with XMX (simulated arc-a770)", zoos, gpu_table.compared_on_gpu(compile_on_simulated_gpu)


def cpu() -> tuple[str, Mapping[str, Sequence[int]], dict[tuple[str, str], Compared]]:
    zoos = {zoo: groups for zoo, (_, groups) in cpu_table.ZOOS.items()}
    name = ov.Core().get_property("CPU", "FULL_DEVICE_NAME")
    return f"CPU with f32 compute ({name})", zoos, cpu_table.compared_on_cpu()


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here instead of to standard output.")
@click.option("--device", type=click.Choice(DEVICES), multiple=True, help="Only this one (repeatable).")
def main(output: Path | None, device: Sequence[str]) -> None:
    """Print the tables of all devices."""
    lines = [*INTRODUCTION.splitlines(), "", f"OpenVINO {ov.get_version()}."]
    agree = True
    for name in device or DEVICES:
        title, zoos, found = gpu() if name == "gpu" else cpu()
        lines += section(title, zoos, found)
        agree = agree and all(one.said == one.did for one in found.values())
    text = "\n".join(lines) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
