"""What the numbers of a host depend on, and the refusal of hosts whose numbers would be others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from ovpass.errors import ExecutorError
from ovpass.ir.files import IrFile
from ovpass.ir.fingerprint import fingerprint
from ovpass.support.cluster import DaskCluster
from ovpass.support.cpu_features import cpu_kind
from ovpass.version import __version__

_FREE = ("cpu", "openvino")
"""What may differ from host to host where the user says so. Another model or ovpass gives other numbers."""


@dataclass(frozen=True)
class Host:
    """The hash of a host's model, with that of its plan if there is one; versions; and the kind of the CPU."""

    model: str
    ovpass: str
    openvino: str
    cpu: str


@dataclass(frozen=True)
class Likeness:
    """What all hosts that run a model have to be like. `mixed` allows other CPUs and versions of OpenVINO.

    `xml` is the model and `plan` is that of a candidate: paths that each host can read.
    """

    xml: str
    host: Host
    plan: str | None = None
    mixed: bool = False

    def require_on(self, cluster: DaskCluster) -> None:
        """Refuse a cluster with a worker that is not like this.

        Raises:
            ExecutorError: with what differs.
        """
        for address, found in cluster.ask(describe, self.xml, self.plan).items():
            self.check(found, f"worker {address}")

    def require_here(self) -> None:
        """Refuse this host, a worker, if it is not like this.

        Raises:
            ExecutorError: with what differs.
        """
        self.check(describe(self.xml, self.plan), "a worker that joined")

    def check(self, found: Host, where: str) -> None:
        """Refuse a host whose numbers would be others.

        Raises:
            ExecutorError: with what differs.
        """
        words = {"model": f"the hash of {self._files}", "ovpass": "ovpass", "openvino": "OpenVINO", "cpu": "the CPU"}
        for name, value in asdict(self.host).items():
            own = getattr(found, name)
            if own != value and not (self.mixed and name in _FREE):
                hint = "; --mixed-hosts allows it" if name in _FREE else ""
                raise ExecutorError(f"{where}: {words[name]} is {own}, elsewhere {value}{hint}")

    @property
    def _files(self) -> str:
        return self.xml if self.plan is None else f"{self.xml} and {self.plan}"


def describe(xml: str, plan: str | None = None) -> Host:
    """What this host is like.

    Raises:
        ExecutorError: if it cannot read the model or the plan.
    """
    import openvino as ov  # noqa: PLC0415 - not needed to print help

    try:
        model = fingerprint(IrFile(Path(xml)), () if plan is None else (Path(plan).read_bytes(),))
    except OSError as error:
        raise ExecutorError(
            f"{error.filename or xml}: a worker cannot read it: {error.strerror or error}; "
            "put it where all workers have it under the same path"
        ) from error
    return Host(model, __version__, ov.get_version(), cpu_kind())
