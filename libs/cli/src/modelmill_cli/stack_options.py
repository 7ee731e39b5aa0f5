"""How `mill up` and its like are to run the stack."""

import errno
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

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
    problems = [problem for option, port in wanted.items() if (problem := _problem(option, port))]
    if problems:
        raise PreconditionError("; ".join(problems))


def _problem(option: str, port: int) -> str:
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
