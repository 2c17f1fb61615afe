"""Compile the kernels for vector-quantized weights for every simulated GPU, and see that the plugin runs them.

    python scripts/kernel_devices.py                                    all devices
    python scripts/kernel_devices.py --simulate arc-b580 --simulate iris-xe

A line for each device. It exits with 1 where a model does not compile, or a MatMul does not run by a kernel.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import openvino as ov

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import ovpass  # noqa: E402
from ovpass.errors import OvpassError  # noqa: E402
from ovpass.formats.vector_encoding import VectorEncoding  # noqa: E402
from ovpass.kernels import GpuVariant, write_gpu_kernels  # noqa: E402
from ovpass.kernels.opencl import CONFIG_FILE  # noqa: E402
from ovpass.targets.names import get_profile, profiles  # noqa: E402
from ovpass.verification.driver import current_driver, format_version  # noqa: E402
from ovpass.verification.report import KERNEL  # noqa: E402
from ovpass.verification.simulated_gpu import installed_version  # noqa: E402
from tests.kernels.models import saved, vector_model  # noqa: E402

ENCODINGS = {
    "2 bits": VectorEncoding.of(4, [256]),
    "3 bits": VectorEncoding.of(4, [256, 16]),
    "4 bits": VectorEncoding.of(2, [256]),
    "4 bits, 2 codebooks": VectorEncoding.of(4, [256, 256]),
}
VARIANTS = {
    "default": GpuVariant(),
    "codebooks in global memory": GpuVariant(slices=2, row_blocks=2, local_bytes=0, sub_group=16),
}
TOKENS = (1, 20)


def compiled(device: str, folder: Path) -> Iterator[tuple[str, bool]]:
    """The MatMuls of all encodings and variants, and whether a device runs them by the kernel."""
    for name, encoding in ENCODINGS.items():
        own = folder / f"{device} {name}"
        own.mkdir()
        source = saved(vector_model(encoding, k=128, widths=(128, 64), n=64), own)
        settings = ovpass.Settings(lowering="kernel", target=device)
        lowered = ovpass.transform(source, own / "kernel.xml", settings).output
        for title, variant in VARIANTS.items():
            config = write_gpu_kernels(folder / title, variant)
            question = ovpass.Question(simulate=device, tokens=TOKENS, properties={CONFIG_FILE: str(config)})
            [report] = ovpass.verify(lowered, question).values()
            for site in report.sites:
                yield f"{site.name} ({name}, {title})", site.found == KERNEL


@click.command(help=__doc__.splitlines()[0])
@click.option("--simulate", multiple=True, metavar="DEVICE", help="Only this GPU (repeatable).  [default: all]")
def main(simulate: Sequence[str]) -> None:
    driver = format_version(installed_version(current_driver()) or ())
    click.echo(f"OpenVINO {ov.get_version()}, driver {driver}: {', '.join(ENCODINGS)}; {', '.join(VARIANTS)}")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for name in [get_profile(each).name for each in simulate] or profiles():
            started = time.perf_counter()
            try:
                found = dict(compiled(name, Path(folder)))
                others = [matmul for matmul, ours in found.items() if not ours]
                outcome = f"not by kernels: {', '.join(others)}" if others else f"{len(found)} MatMuls by kernels"
            except OvpassError as error:
                others, outcome = [name], str(error)
            failed |= bool(others)
            click.echo(f"{name}: {outcome}; {time.perf_counter() - started:.1f} s; {get_profile(name).title}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
