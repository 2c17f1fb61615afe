"""The kernel for the GPU plugin: OpenCL C, and the configuration by which the plugin compiles it for the op."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from ovpass.ir.custom_op import OP_TYPE, SHAPE
from ovpass.kernels.shape import ROWS, KernelShape
from ovpass.support.atomic_output import write_text

CONFIG_FILE = "CONFIG_FILE"
"""The compile property that names the configuration."""
ENTRY = "vector_matmul"
_SOURCE = Path(__file__).parent / "gpu" / f"{ENTRY}.cl"
_INPUTS = 2


@dataclass(frozen=True)
class GpuVariant:
    """How the kernel divides the work.

    A work-group has `slices` slices of the columns, and computes `row_blocks` blocks of 64 rows with codebooks that it
    reads once. `tokens` share decoded weights. Codebooks of up to `local_bytes` lie in local memory. `sub_group` items
    run in lockstep, 0: as the compiler likes.
    """

    slices: int = 4
    tokens: int = 8
    row_blocks: int = 1
    local_bytes: int = 32 << 10
    sub_group: int = 0

    @property
    def items(self) -> int:
        """Work-items of a work-group."""
        return ROWS * self.slices

    @property
    def defines(self) -> dict[str, int]:
        """The macros of the source."""
        return {f"VQ_{name.upper()}": value for name, value in asdict(self).items()}


DEFAULT = GpuVariant()


def kernel_source() -> str:
    """The OpenCL C. `INPUT0_TYPE` and `OUTPUT0_TYPE` are half or float."""
    return _SOURCE.read_text(encoding="utf-8")


def shape_defines(shape: KernelShape) -> dict[str, int]:
    """The macros that say what the weights are."""
    return {f"VQ_{name.upper()}": getattr(shape, name) for name in SHAPE}


def write_gpu_kernels(folder: Path, variant: GpuVariant = DEFAULT) -> Path:
    """Write the kernel and its configuration into `folder`, and return the path for the property CONFIG_FILE."""
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / _SOURCE.name
    write_text(source, kernel_source())
    config = folder / f"{ENTRY}.xml"
    write_text(config, _configuration(source.name, variant))
    return config


def _configuration(source: str, variant: GpuVariant) -> str:
    """The plugin multiplies the four dimensions of the output: tokens times N, however they are laid out."""
    attributes = "".join(
        f'    <Define name="VQ_{name.upper()}" type="int" param="{name}" default="0"/>\n' for name in SHAPE
    )
    inputs = "".join(
        f'    <Tensor arg-index="{port}" type="input" port-index="{port}" format="BFYX"/>\n' for port in range(_INPUTS)
    )
    options = " ".join(f"-D{name}={value}" for name, value in variant.defines.items())
    return f"""<CustomLayer name="{OP_TYPE}" type="SimpleGPU" version="1">
  <Kernel entry="{ENTRY}">
    <Source filename="{source}"/>
{attributes}  </Kernel>
  <Buffers>
{inputs}    <Tensor arg-index="{_INPUTS}" type="output" port-index="0" format="BFYX"/>
  </Buffers>
  <CompilerOptions options="{options}"/>
  <WorkSizes global="B*F*Y*X*{variant.slices}" local="{variant.items}"/>
</CustomLayer>
"""
