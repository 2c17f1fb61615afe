"""Get Intel's OpenCL driver into a folder of its own: unpacked from Debian's packages, nothing is installed.

apt does the downloading and checks the archive's signature, with configuration, lists and state of its own in a
temporary folder. The C library that the driver was built for comes along, so the machine's own does not matter.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovpass.errors import DriverError
from ovpass.support.progress import Progress
from ovpass.verification.driver import ICD, LOADER, VENDORS, Driver, default_folder, format_version
from ovpass.verification.simulated_gpu import installed_version

SUITE = "forky"
"""The Debian release whose driver the rules were measured with."""
MEASURED = (26, 27)
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MANIFEST = "ovpass-driver.json"
_PACKAGES = (
    "intel-opencl-icd",
    "libigc2",
    "libigdfcl2",
    "libigdgmm12",
    "ocl-icd-libopencl1",
    "libc6",
    "libstdc++6",
    "libgcc-s1",
    "zlib1g",
)
_TOOLS = ("apt-get", "dpkg-deb")
_SECONDS = 900
_MIRROR = re.compile(r"^(?:deb\s+(?:\[[^\]]*\]\s+)?|URIs:\s*)(\S+/debian)/?(?:\s|$)", re.MULTILINE)
_CAUSES = (
    (
        r"resolve|connect|unreachable|timed? ?out|Network",
        "Debian's mirror {mirror} cannot be reached: check the network, or name another with --mirror",
    ),
    (
        r"NO_PUBKEY|not signed|signature|GPG error",
        "the signature of {mirror} is not one of Debian's archive: name another mirror with --mirror",
    ),
    (
        r"does not have a Release file|404|File not found|No such file|Unable to locate|Can't select|no longer has",
        "{mirror} has no suite {suite} with this driver: name another mirror with --mirror",
    ),
)


Cause = Callable[[str], str | None]
"""What a tool's output says went wrong, None for what is not known."""


@dataclass(frozen=True)
class Installed:
    """A driver that is there now."""

    folder: Path
    version: tuple[int, ...]

    @property
    def note(self) -> str | None:
        """What to know of a version that was not measured."""
        if self.version[:2] <= MEASURED:
            return None
        return f"rules were measured with driver {format_version(MEASURED)}; 'ovpass verify' shows what this one does"


def install_driver(
    folder: Path | None = None, *, mirror: str | None = None, suite: str = SUITE, progress: Progress = lambda _: None
) -> Installed:
    """Put the driver into `folder`, the default one if None, whole or not at all; one that is there is replaced.

    `mirror` is the address of a Debian archive, None: the one that this machine's apt uses.

    Raises:
        DriverError: where it cannot be had or does not start, and why.
    """
    target = (folder or default_folder()).absolute()
    _check_machine()
    _check_free(target)
    source = (mirror or _own_mirror()).rstrip("/")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as work:
            made = Path(work) / "driver"
            progress("downloading the driver")
            packages = _Apt(Path(work), source, suite).download()
            progress("unpacking the driver")
            for package in packages:
                _run(["dpkg-deb", "--extract", str(package), str(made)], f"{package.name} cannot be unpacked")
            version = _settle(made, [package.name for package in packages])
            _publish(made, target, Path(work) / "older")
    except OSError as error:
        raise DriverError(f"{target}: cannot be written: {error.strerror or error}") from error
    return Installed(target, version)


def _check_machine() -> None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise DriverError(f"the driver is for Linux on x86-64, not for {platform.system()} on {platform.machine()}")
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        raise DriverError(
            f"{' and '.join(missing)} not found: apt downloads and unpacks the driver from Debian packages; "
            "use Debian or Ubuntu, or run ovpass in a Debian container"
        )
    if not KEYRING.is_file():
        raise DriverError(
            f"{KEYRING} is missing; apt verifies downloads with it: apt-get install debian-archive-keyring"
        )


def _check_free(folder: Path) -> None:
    """A folder that holds anything but an earlier driver is not this command's to replace."""
    if folder.is_dir() and (not any(folder.iterdir()) or (folder / MANIFEST).is_file()):
        return
    if folder.exists() or folder.is_symlink():
        raise DriverError(f"{folder}: exists already and is not a driver from this command; name another folder")


def _own_mirror() -> str:
    """The archive that this machine's own apt uses."""
    apt = Path("/etc/apt")
    lists = [
        apt / "sources.list",
        *sorted(apt.glob("sources.list.d/*.list")),
        *sorted(apt.glob("sources.list.d/*.sources")),
    ]
    for path in lists:
        found = _MIRROR.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
        if found:
            return found[1]
    raise DriverError(
        "apt has no Debian mirror in its sources: name one with --mirror, an address that ends in /debian"
    )


class _Apt:
    """apt with everything of its own in `work`."""

    def __init__(self, work: Path, mirror: str, suite: str) -> None:
        self._work, self._mirror, self._suite = work, mirror, suite
        for name in ("lists/partial", "cache/archives/partial", "packages"):
            (work / name).mkdir(parents=True)
        (work / "status").touch()
        (work / "sources.list").write_text(f"deb [arch=amd64 signed-by={KEYRING}] {mirror} {suite} main\n", "utf-8")

    def download(self) -> list[Path]:
        """The packages, with signature and checksums as apt checks them."""
        self._apt("update", "--error-on=any")
        self._apt("download", *_PACKAGES)
        return sorted((self._work / "packages").glob("*.deb"))

    def _apt(self, *arguments: str) -> None:
        options = {
            "Dir::Etc::SourceList": self._work / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State::Lists": self._work / "lists",
            "Dir::State::status": self._work / "status",
            "Dir::Cache": self._work / "cache",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
            "APT::Get::AllowUnauthenticated": "false",
            "Acquire::AllowInsecureRepositories": "false",
            "Acquire::AllowWeakRepositories": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "1",
        }
        command = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in options.items()), *arguments]
        _run(command, "apt cannot get the driver", self._work / "packages", self._cause)

    def _cause(self, printed: str) -> str | None:
        words = next((words for sign, words in _CAUSES if re.search(sign, printed)), None)
        return None if words is None else words.format(mirror=self._mirror, suite=self._suite)


def _run(command: Sequence[str], what: str, folder: Path | None = None, cause: Cause | None = None) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DriverError(f"{what}: it took longer than {_SECONDS} s") from None
    if done.returncode:
        printed = f"{done.stdout}\n{done.stderr}"
        known = cause(printed) if cause is not None else None
        complaints = [line for line in printed.splitlines() if line.startswith(("E:", "W:", "dpkg-deb: error"))]
        raise DriverError(known or f"{what}: {' '.join(complaints)[:300] or f'exit code {done.returncode}'}")


def _settle(made: Path, packages: Sequence[str]) -> tuple[int, ...]:
    """Say where the driver's library is, start the driver, and note its version."""
    missing = [name for name in (LOADER, ICD) if not (made / name).is_file()]
    if missing:
        raise DriverError(f"the packages lack {missing[0]}: this suite builds the driver differently")
    (made / VENDORS).mkdir()
    (made / VENDORS / "intel.icd").write_text(f"{made / ICD}\n", encoding="utf-8")
    version = installed_version(Driver(made))
    if version is None:
        raise DriverError("the driver was unpacked but does not start on this machine")
    if version < MEASURED:
        raise DriverError(
            f"the driver is version {format_version(version)}; {format_version(MEASURED)} or later is needed"
        )
    manifest = {"version": format_version(version), "packages": list(packages)}
    (made / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return version


def _publish(made: Path, target: Path, older: Path) -> None:
    """Move the finished folder to its place; an earlier one goes aside first, and back if that fails."""
    (made / VENDORS / "intel.icd").write_text(f"{target / ICD}\n", encoding="utf-8")
    made.chmod(0o755)
    if target.exists():
        target.rename(older)
    try:
        made.rename(target)
    except OSError:
        if older.exists():
            older.rename(target)
        raise
