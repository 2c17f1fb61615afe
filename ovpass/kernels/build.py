"""Build the extension for the CPU plugin on first use, keep it in the user's cache, and check it before it is loaded.

A library is loaded into the process that asks for it. So one that is damaged, that another user can change, or that was
built for another OpenVINO or processor is refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ovpass.errors import KernelError
from ovpass.kernels.shape import KernelShape
from ovpass.kernels.source import MAIN, Choice, sources
from ovpass.kernels.toolchain import Toolchain, find_toolchain
from ovpass.kernels.tuned import kept_choices
from ovpass.support.atomic_output import publish, staging
from ovpass.support.cache import cache_folder
from ovpass.support.processes import log_start
from ovpass.support.structured_text import MalformedError, parse_json, read_text

_LOGGER = logging.getLogger(__name__)

LIBRARY, MANIFEST = "libovpass_kernels.so", "manifest.json"
_SECONDS = 600
_WRITABLE_BY_OTHERS = 0o022


def library_cache() -> Path:
    """Where libraries are kept: in the user's cache."""
    return cache_folder("kernels")


def library(tuned: Sequence[tuple[KernelShape, Choice]] | None = None) -> Path:
    """The library for this machine, built if it is not in the cache: takes seconds then.

    `openvino_genai.LLMPipeline(folder, "CPU", extensions=[library()])` and `core.add_extension(library())` load it.
    `tuned` are choices for shapes, None: those that `ovpass.kernels.tune` has kept for this machine.

    Raises:
        KernelError: without a compiler, if it fails, and for a library in the cache that must not be loaded.
    """
    toolchain = find_toolchain()
    chosen = kept_choices(toolchain, library_cache()) if tuned is None else tuned
    return _built(toolchain, sources(chosen))


def _built(toolchain: Toolchain, files: Mapping[str, str]) -> Path:
    wanted = {**toolchain.identity, "source": _digest("".join(f"{name}\0{files[name]}\0" for name in sorted(files)))}
    folder = library_cache() / _digest(json.dumps(wanted, sort_keys=True))[:24]
    if folder.exists():
        _LOGGER.info("%s: kernels from the cache", folder)
    else:
        _build(toolchain, files, wanted, folder)
    check(folder, wanted)
    return folder / LIBRARY


def _build(toolchain: Toolchain, files: Mapping[str, str], wanted: Mapping[str, str], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with staging(folder) as staged:
        output = staged / "output"
        output.mkdir(mode=0o700)
        for name, text in files.items():
            (staged / name).write_text(text, encoding="utf-8")
        command = toolchain.command(staged / MAIN, output / LIBRARY)
        log_start(command, {})
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
        except subprocess.CalledProcessError as error:
            why = next((line for line in error.stderr.splitlines() if "error" in line), error.stderr.strip()[-200:])
            raise KernelError(f"{toolchain.compiler} cannot compile the kernels: {why}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise KernelError(f"{toolchain.compiler} cannot compile the kernels: {error}") from error
        (output / LIBRARY).chmod(0o700)
        manifest = {**wanted, "sha256": _digest((output / LIBRARY).read_bytes())}
        (output / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if not folder.exists():  # another process may have been faster
            publish(output, folder)


def check(folder: Path, wanted: Mapping[str, str]) -> None:
    """Make sure that the library in `folder` is the one that was built there, for all that is `wanted`.

    Raises:
        KernelError: if it is not, naming what differs. Nothing is loaded then.
    """
    path = folder / LIBRARY
    try:
        manifest = parse_json(read_text(folder / MANIFEST))
        content = path.read_bytes()
        owners = [each.stat() for each in (folder, path)]
    except (OSError, MalformedError) as error:
        raise _refusal(folder, f"is incomplete ({error})") from error
    if not isinstance(manifest, dict):
        raise _refusal(folder, "has a damaged manifest")
    if any(each.st_uid != os.getuid() or each.st_mode & _WRITABLE_BY_OTHERS for each in owners):
        raise _refusal(folder, "belongs to another user, or others may write it")
    different = [key for key, value in wanted.items() if manifest.get(key) != value]
    if different:
        raise _refusal(folder, f"was built for another {different[0]}")
    if manifest.get("sha256") != _digest(content):
        raise _refusal(folder, "is damaged")


def _refusal(folder: Path, what: str) -> KernelError:
    return KernelError(f"{folder / LIBRARY}: {what}; it is not loaded; remove {folder}, and it is built again")


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
