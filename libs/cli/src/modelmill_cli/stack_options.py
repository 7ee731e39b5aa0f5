"""How a stack is to run, and the ports that it holds."""

import errno
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec

import psutil
from modelmill_service_kit.errors import InvalidInputError, PreconditionError
from modelmill_service_kit.ports import held_port

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
OWN_PORTS = ("grpc", "metrics")
SPARE = "spare_"
SPARE_PORTS = tuple(f"{SPARE}{kind}" for kind in OWN_PORTS)
"""Where a service listens by turns, so that its successor can run beside it."""
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
            ports: Ports = {name: dict.fromkeys((*OWN_PORTS, *SPARE_PORTS), 0) for name in SERVICES}
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
