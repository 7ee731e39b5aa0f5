"""What checks read: facts of the machine, of what is installed, and of what runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from modelmill_cli.certificates import NAMES, CertificateFolder
from modelmill_cli.state_folder import Runtime, StateFolder

if TYPE_CHECKING:
    from modelmill_bus.inspection import BrokerState


AUTHORITY = "ca"
RENEW = "Run `mill certs {folder}`, or start `mill up --tls` anew"


class CertificateFiles(NamedTuple):
    """Where a certificate and its private key are."""

    certificate: Path
    key: Path


class BrokerFacts(Protocol):
    """What checks of a broker read."""

    @property
    def broker(self) -> "BrokerState | None": ...

    @property
    def broker_problem(self) -> str:
        """Why the broker could not be asked; else empty."""

    @property
    def broker_config(self) -> str | None:
        """Text of its configuration; None where there is none to read."""


class CertificateFacts(Protocol):
    """What checks of certificates read."""

    @property
    def now(self) -> datetime: ...

    @property
    def certificates(self) -> "Mapping[str, CertificateFiles]":
        """By whom they name; that of the authority as `ca`."""

    @property
    def renewal(self) -> str:
        """What to do where one must be made anew."""


class PageFacts(Protocol):
    """What checks of metrics pages read."""

    @property
    def pages(self) -> "Mapping[str, ServicePage]":
        """By service."""


@dataclass(frozen=True)
class Machine:
    """This machine, as far as the state folder and the services need it."""

    disk_bytes: int
    disk_free_bytes: int
    inodes: int
    """0 where the file system does not count them."""
    inodes_free: int
    fsyncs_per_second: float | None
    """Of small files on the disk of the state folder; None where nothing can be written."""
    memory_bytes: int
    memory_free_bytes: int
    open_files: int
    """How many a process may have."""
    gpus_present: int
    """NVIDIA's, on the bus of the machine."""
    gpus_answering: int
    driver_cuda: int | None
    """Newest major version of CUDA that the driver runs."""


@dataclass(frozen=True)
class Installed:
    """What is installed beside this command."""

    packages: Mapping[str, str]
    """Versions of our packages, by name."""
    broker: Path | None
    broker_version: tuple[int, ...] | None
    """None where there is no broker, or it does not say."""
    runtime_cuda: int | None
    """Major version of CUDA that the installed torch brings."""


@dataclass(frozen=True)
class ServicePage:
    """The metrics page of a service."""

    status: int | None
    """Of the HTTP answer; None without an answer in time."""
    totals: Mapping[str, float]
    """Sums over the labels, by name."""
    version: str | None


@dataclass(frozen=True)
class RunningInstance:
    """The instance of `mill up` on the state folder."""

    runtime: Runtime
    ended: tuple[str, ...]
    """Processes that are not there any more."""
    unreachable: tuple[str, ...]
    """Services at whose gRPC port nobody listens."""
    pages: Mapping[str, ServicePage]
    """By service."""
    gateway_ready: int | None
    """Status of its `/readyz`; None without an answer in time."""
    broker: "BrokerState | None"
    broker_problem: str
    """Why the broker could not be asked; else empty."""


@dataclass(frozen=True)
class Examined:
    """All that checks read."""

    state: StateFolder
    now: datetime
    ports: Mapping[str, int]
    """Options of `mill up` and the ports that they would name."""
    machine: Machine
    installed: Installed
    broker_config: str | None
    """Text of the broker's configuration; None where there is none to read."""
    running: RunningInstance | None
    owner: int | None
    """Whose the state folder is; None where there is none."""
    is_starting: bool
    """Whether a mill holds the folder, though nothing runs on it yet."""

    @property
    def broker(self) -> "BrokerState | None":
        """That of the running instance."""
        return self.running.broker if self.running is not None else None

    @property
    def broker_problem(self) -> str:
        """Why it could not be asked; else empty."""
        return self.running.broker_problem if self.running is not None else ""

    @property
    def pages(self) -> Mapping[str, ServicePage]:
        """Of the running instance, by service."""
        return self.running.pages if self.running is not None else {}

    @property
    def certificates(self) -> Mapping[str, CertificateFiles]:
        """Where `mill up --tls` keeps them, by name."""
        made = CertificateFolder(self.state.certificates)
        names = (AUTHORITY, *NAMES)
        return {name: CertificateFiles(made.certificate(name), made.key(name)) for name in names}

    @property
    def renewal(self) -> str:
        """How certificates are made anew."""
        return RENEW.format(folder=self.state.certificates)
