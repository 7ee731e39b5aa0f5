"""How `mill up` and its like are to run the stack."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from modelmill_service_kit.ports import held_port

from modelmill_cli.ports import HOST, refuse_taken_ports

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
        """A port for each door of each process; nobody else is given them while the block runs.

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
                    kind: stack.enter_context(held_port(HOST, port)) for kind, port in doors.items()
                }
                for name, doors in ports.items()
            }
