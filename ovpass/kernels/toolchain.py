"""What a library is built with: the compiler, OpenVINO's headers and this processor."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ovpass.errors import KernelError
from ovpass.support.cpu_features import cpu_features

_COMPILERS = ("c++", "g++", "clang++")
# nodelete: OpenVINO unloads the library with its Core, when objects of the library can still be alive.
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared", "-w", "-Wl,-z,nodelete")
_HEADER = "include/openvino/core/op_extension.hpp"
_INSTEAD = "or run the model without lowering kernel ('ovpass strip' undoes it)"


@dataclass(frozen=True)
class Toolchain:
    """A compiler and the OpenVINO that it builds for. `processor` lists the features that code may use."""

    compiler: str
    compiler_version: str
    openvino: Path
    openvino_version: str
    processor: str

    @property
    def identity(self) -> dict[str, str]:
        """What a library depends on, apart from its source."""
        return {
            "compiler": self.compiler_version,
            "openvino": self.openvino_version,
            "openvino_folder": str(self.openvino),
            "processor": self.processor,
            "flags": " ".join(_FLAGS),
        }

    def command(self, source: Path, output: Path) -> list[str]:
        """The command line that builds a library."""
        libraries = self.openvino / "libs"
        linked = [path for name in ("libopenvino.so.*", "libtbb.so.*") for path in sorted(libraries.glob(name))]
        headers = [f"-I{source.parent}", f"-I{self.openvino / 'include'}"]
        return [self.compiler, *_FLAGS, *headers, str(source), "-o", str(output), *map(str, linked)]


def find_compiler() -> str:
    """The C++ compiler of this machine: what CXX names, else c++, g++ or clang++.

    Raises:
        KernelError: if there is none.
    """
    named = os.environ.get("CXX")
    found = next((path for name in ([named] if named else _COMPILERS) if (path := shutil.which(name))), None)
    if found is None:
        missing = f"CXX names {named}, which is not there" if named else "there is no C++ compiler"
        raise KernelError(f"the kernels for the CPU are compiled on first use: {missing}; install g++, {_INSTEAD}")
    return found


def find_toolchain() -> Toolchain:
    """The compiler and the OpenVINO of this process.

    Raises:
        KernelError: if there is no compiler, or OpenVINO comes without its headers.
    """
    import openvino as ov  # noqa: PLC0415 - slow to start

    found = find_compiler()
    folder = Path(ov.__file__).parent
    if not (folder / _HEADER).is_file():
        raise KernelError(f"OpenVINO in {folder} has no C++ headers; install the wheel of PyPI, {_INSTEAD}")
    return Toolchain(found, _version(found), folder, ov.get_version(), cpu_features())


def _version(compiler: str) -> str:
    try:
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise KernelError(f"{compiler} --version fails: {error}; name a C++ compiler with CXX") from error
    return (done.stdout.splitlines() or [""])[0]
