"""NATS and the six services on one machine: options, environment of each process, start and stop.

Ports and secrets are made at each start.
"""

import errno
import secrets
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from os import getpid

import psutil
from modelmill_bus.broker_config import Identities
from modelmill_bus.permissions import DEPLOY
from modelmill_service_kit.bus_access import SEED_SUFFIX
from modelmill_service_kit.errors import InvalidInputError, PreconditionError, UnavailableError
from modelmill_service_kit.ports import held_port
from modelmill_service_kit.process_supervisor import LogLine, SupervisedProcess, python_module

from modelmill_cli.broker import FullDiskWatch, broker_command
from modelmill_cli.certificates import CertificateFolder, kept_renewed
from modelmill_cli.errors import StackFailedError
from modelmill_cli.keys import AUDIENCE, ISSUER, LocalKeys
from modelmill_cli.process_group import Command, ProcessGroup, end_leftovers
from modelmill_cli.state_folder import Runtime, StateFolder, write_private
from modelmill_cli.trace_collector import TraceCollector

HOST = "127.0.0.1"


def refuse_taken_ports(asked: Mapping[str, int]) -> None:
    """Look whether each port can be listened on; 0 means any and is left out.

    Args:
        asked: option, such as "--http-port", to the port it names.

    Raises:
        InvalidInputError: two options name one port.
        PreconditionError: ports are taken, or need root; all are listed.
    """
    wanted = {option: port for option, port in asked.items() if port}
    if len(set(wanted.values())) < len(wanted):
        named = " ".join(f"{option} {port}" for option, port in wanted.items())
        raise InvalidInputError(f"two options name the same port: {named}")
    problems = [
        problem for option, port in wanted.items() if (problem := port_problem(option, port))
    ]
    if problems:
        raise PreconditionError("; ".join(problems))


def port_problem(option: str, port: int) -> str:
    """Why the port cannot be listened on, and what to do; empty when it can."""
    with socket.socket() as probe:
        # As servers do: connections that are still ending do not keep a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                holder = _holder(port)
                return f"port {port} is taken{holder}. Stop that or give {option} another one"
            return f"port {port} cannot be used ({error.strerror}). Give {option} another one"
        except OverflowError:
            return f"{port} is not a port. Give {option} a number from 0 to 65535"
    return ""


def _holder(port: int) -> str:
    """` by NAME (pid N)`, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            mine = connection.laddr and connection.laddr.port == port
            if mine and connection.status == psutil.CONN_LISTEN and connection.pid:
                name = psutil.Process(connection.pid).name()
                return f" by {name} (pid {connection.pid})"
    except psutil.Error:
        pass
    return ""


SERVICES = ("data_prep", "trainer", "optimizer_builder", "moderation", "inference", "gateway")
Ports = dict[str, dict[str, int]]
"""By process and what is asked at the port."""


@dataclass(frozen=True)
class StackOptions:
    """How to run the stack. `overrides` are settings of services, by their full names."""

    http_port: int = 8080
    grpc_port: int = 0
    """Of the gateway; 0 takes a free one, here and below."""
    metrics_port: int = 0
    """Of the gateway."""
    nats_port: int = 0
    log_level: str = "INFO"
    tls: bool = False
    """Whether services prove to each other who they are."""
    artifacts: str = ""
    """Where artifacts are kept; empty for the state folder. `AWS_*` say how to reach a bucket."""
    http_host: str = HOST
    """Where the gateway's HTTP API listens; all else stays on loopback."""
    overrides: dict[str, str] = field(default_factory=dict)

    def refuse_taken_ports(self) -> None:
        """Raise PreconditionError when a port that was asked for is not to be had."""
        refuse_taken_ports(
            {
                "--http-port": self.http_port,
                "--grpc-port": self.grpc_port,
                "--metrics-port": self.metrics_port,
                "--nats-port": self.nats_port,
            }
        )

    @contextmanager
    def held_ports(self) -> Iterator[Ports]:
        """A port for each server of each process; nobody else is given them while the block runs.

        Raises:
            PreconditionError: one that was asked for is taken.
        """
        with ExitStack() as stack:
            ports = {name: {"grpc": 0, "metrics": 0} for name in SERVICES}
            ports["gateway"] = {
                "http": self.http_port,
                "grpc": self.grpc_port,
                "metrics": self.metrics_port,
            }
            ports["nats"] = {"nats": self.nats_port}
            self.refuse_taken_ports()
            yield {
                name: {
                    kind: stack.enter_context(held_port(HOST, port)) for kind, port in kinds.items()
                }
                for name, kinds in ports.items()
            }


OWNERS = ("data_prep", "trainer", "optimizer_builder")
WORKING_SERVICES = (*OWNERS, "gateway")
"""Own jobs; `mill up` runs both their roles in one process."""

SERVING = ("moderation", "inference", "gateway")
"""Always installed; the others are the extra `train` of the distribution."""
HOW_TO_INSTALL = "Add what makes models: pip install 'modelmill[train]'"


def missing_services() -> tuple[str, ...]:
    """Services whose package is not installed; a host that only serves goes without torch."""
    return tuple(
        name for name in SERVICES if name not in SERVING and find_spec(f"modelmill_{name}") is None
    )


def require_all_services() -> None:
    """Raise PreconditionError when a service is missing that makes models."""
    if missing := missing_services():
        verb = "is" if len(missing) == 1 else "are"
        raise PreconditionError(f"{', '.join(missing)} {verb} not installed. {HOW_TO_INSTALL}")


BEHIND_THE_GATEWAY = ("moderation", *OWNERS, "inference")
ASK_MODELS = ("moderation", "data_prep", "trainer")
"""Call inference."""


@dataclass(frozen=True)
class StackSecrets:
    """Made at each start, and in files for as long as the instance runs."""

    service_secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    otlp_token: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def write(self, state: StateFolder) -> None:
        """Put each where services read it; their environments have paths alone."""
        write_private(state.service_secret_file, self.service_secret.encode())
        write_private(state.otlp_token_file, self.otlp_token.encode())


@dataclass(frozen=True)
class Wiring:
    """All that processes are told."""

    state: StateFolder
    options: StackOptions
    keys: LocalKeys
    made: StackSecrets
    ports: Ports
    otlp_port: int

    @property
    def nats_port(self) -> int:
        return self.ports["nats"]["nats"]

    @property
    def nats_url(self) -> str:
        return f"nats://{HOST}:{self.nats_port}"

    def environment(self, name: str) -> dict[str, str]:
        """What the service is told beyond what all processes inherit."""
        values = self._common(name) | self._addresses(name) | self._peers(name)
        if name in WORKING_SERVICES:
            values["work_root"] = str(self.state.work / name)
        if self.options.tls:
            values |= self._mutual_tls(name)
        if name == "gateway":
            values |= self._callers()
        return _prefixed(name, values) | self.options.overrides

    def runtime(self, processes: dict[str, SupervisedProcess]) -> Runtime:
        """How others reach the stack."""
        ports = {name: process.ports for name, process in processes.items()}
        return Runtime(
            pid=getpid(),
            http_url=f"http://{HOST}:{ports['gateway']['http']}",
            nats_url=self.nats_url,
            nats_seeds=str(self.state.bus_identities),
            service_secret=self.made.service_secret,
            artifact_root=self._artifacts,
            grpc_ports={n: each["grpc"] for n, each in ports.items() if "grpc" in each},
            metrics_ports={n: each["metrics"] for n, each in ports.items() if "metrics" in each},
            pids={name: process.pid for name, process in processes.items()},
        )

    @property
    def _artifacts(self) -> str:
        return self.options.artifacts or str(self.state.artifacts)

    def _common(self, name: str) -> dict[str, str]:
        identity = name.replace("_", "-")
        return {
            "nats_url": self.nats_url,
            "nats_nkey_seed_file": str(self.state.bus_identities / f"{identity}{SEED_SUFFIX}"),
            "service_secret_file": str(self.state.service_secret_file),
            "artifact_root": self._artifacts,
            "artifact_cache": str(self.state.artifact_cache),
            "otlp_endpoint": f"http://{HOST}:{self.otlp_port}",
            "otlp_token_file": str(self.state.otlp_token_file),
            "log_level": self.options.log_level,
        }

    def _addresses(self, name: str) -> dict[str, str]:
        """Where it listens, also when it is started again: its peers look for it there."""
        hosts = {"http": self.options.http_host}
        ports = self.ports[name].items()
        return {f"{kind}_address": f"{hosts.get(kind, HOST)}:{port}" for kind, port in ports}

    def _peers(self, name: str) -> dict[str, str]:
        called: dict[str, tuple[str, ...]] = {
            "gateway": BEHIND_THE_GATEWAY,
            **dict.fromkeys(ASK_MODELS, ("inference",)),
        }
        peers = called.get(name, ())
        return {f"{peer}_address": f"{HOST}:{self.ports[peer]['grpc']}" for peer in peers}

    def _mutual_tls(self, name: str) -> dict[str, str]:
        certificates, name = CertificateFolder(self.state.certificates), name.replace("_", "-")
        return {
            "mtls_authority_path": str(certificates.certificate("ca")),
            "mtls_certificate_path": str(certificates.certificate(name)),
            "mtls_key_path": str(certificates.key(name)),
        }

    def _callers(self) -> dict[str, str]:
        """How the gateway knows who calls, and keeps their secrets."""
        return {
            "jwks_path": str(self.keys.jwks_file),
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "webhook_key_file": str(self.keys.webhook_key_file()),
        }


def _prefixed(name: str, values: dict[str, str]) -> dict[str, str]:
    return {f"{name}_{key}".upper(): value for key, value in values.items()}


STARTS = (
    tuple(name for name in BEHIND_THE_GATEWAY if name not in ASK_MODELS),
    ASK_MODELS,
    ("gateway",),
)
"""Who starts side by side, one after the other: callers start last, and stop first."""


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    runtime: Runtime
    """As it started; `run/runtime.json` also knows of processes that were started again."""
    group: ProcessGroup
    keys: LocalKeys

    @property
    def processes(self) -> dict[str, SupervisedProcess]:
        return self.group.running

    async def runs(self) -> None:
        """Wait for as long as all its processes are kept running.

        Raises:
            StackFailedError: one ends again and again; the message says which, and its last words.
        """
        try:
            await self.group.given_up()
        except UnavailableError as error:
            raise StackFailedError(f"{error}; all of it was stopped") from error


@asynccontextmanager
async def running_stack(
    state: StateFolder, options: StackOptions, on_line: LogLine
) -> AsyncIterator[Stack]:
    """Start everything, give it, and stop it in reverse order at the end of the block.

    Raises:
        PreconditionError: the folder is in use, or a port is taken: the message names it.
        UnavailableError: a process did not start; the message has its last line.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(state.locked())
        await end_leftovers(state, on_line)
        ports = stack.enter_context(options.held_ports())
        (keys := LocalKeys(state.keys)).ensure()
        await stack.enter_async_context(_certificates(state, options, on_line))
        (made := StackSecrets()).write(state)
        collector = await stack.enter_async_context(TraceCollector(state.spans, made.otlp_token))
        wiring = Wiring(state, options, keys, made, ports, collector.port)
        watch = FullDiskWatch(state.bus, on_line, lambda: processes.running["nats"].restart())
        stack.push_async_callback(watch.stop)
        processes = await stack.enter_async_context(
            ProcessGroup(watch.see, mark=state.mark, on_restart=lambda: publish_again())
        )

        def publish_again() -> None:
            if state.runtime_file.exists():  # else not all have started yet
                state.write_runtime(wiring.runtime(processes.running))

        try:
            await _start(processes, wiring)
        except UnavailableError:
            options.refuse_taken_ports()  # taken since we looked: say which, and by whom
            raise
        state.write_runtime(runtime := wiring.runtime(processes.running))
        yield Stack(runtime, processes, keys)


async def _start(processes: ProcessGroup, wiring: Wiring) -> None:
    """The broker, which knows everybody by an identity of its own; its streams; the services."""
    # The client of the bus takes long to load, and few commands start a stack.
    from modelmill_bus.deploy import make_streams

    identities = Identities(wiring.state.bus_identities)
    identities.ensure()
    admitted = identities.authorization()
    broker = broker_command(wiring.state, port=wiring.nats_port, admitted=admitted)
    await processes.start({"nats": broker})
    await make_streams(wiring.nats_url, identities.seed(DEPLOY))
    missing = missing_services()
    for names in STARTS:
        services = {
            name: Command(python_module(f"modelmill_{name}.main"), wiring.environment(name))
            for name in names
            if name not in missing
        }
        await processes.start(services)


def _certificates(
    state: StateFolder, options: StackOptions, on_line: LogLine
) -> AbstractAsyncContextManager[None]:
    if not options.tls:
        return nullcontext()
    return kept_renewed(
        CertificateFolder(state.certificates, is_shared=False), partial(on_line, "mill")
    )
