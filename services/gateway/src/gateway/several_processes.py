"""Several gateways in one: processes that answer at the same ports, kept running by this one.

The kernel deals out connections among them. Each has its own bus connection, read models and leases
of budgets, like replicas; of jobs and of metrics there is more to say below.
"""

import asyncio
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from service_kit.process import announce_ready
from service_kit.process_supervisor import SupervisedProcess, python_module

from gateway.settings import Settings

BEYOND_DRAIN_SECONDS = 5.0


async def serve_by_several(settings: Settings, stopping: asyncio.Event) -> None:
    """Keep the processes running until `stopping`, then let all of them drain.

    The first one also works on jobs, where this gateway is to. Each has a metrics page, at ports
    that follow each other; READY names the first.

    Raises:
        UnavailableError: one of them does not start.
        OSError: a port is taken.
    """
    with ExitStack() as held:
        doors = {
            "GATEWAY_HTTP_ADDRESS": held.enter_context(_held(settings.http_address)),
            "GATEWAY_GRPC_ADDRESS": held.enter_context(_held(settings.grpc_address)),
        }
        processes = [
            SupervisedProcess(
                f"gateway-{number}",
                python_module("gateway.main"),
                {**doors, **_own(settings, number)},
                _pass_on,
            )
            for number in range(settings.processes)
        ]
        try:
            async with asyncio.TaskGroup() as starting:
                for process in processes:
                    starting.create_task(process.start())
        except BaseExceptionGroup as group:
            await _stop(processes, settings)
            raise group.exceptions[0] from None
        try:
            announce_ready(**processes[0].ports)
            await stopping.wait()
        finally:
            await _stop(processes, settings)


def _own(settings: Settings, number: int) -> dict[str, str]:
    """What one of them is told beyond what all inherit."""
    host, _, port = settings.metrics_address.rpartition(":")
    metrics_port = int(port) + number if int(port) else 0
    role = settings.role if number == 0 else "serve"
    return {
        "GATEWAY_PROCESSES": "1",
        "GATEWAY_SHARES_PORTS": "true",
        "GATEWAY_METRICS_ADDRESS": f"{host}:{metrics_port}",
        "GATEWAY_ROLE": role,
    }


@contextmanager
def _held(address: str) -> Iterator[str]:
    """The address with its port, which is ours until the block ends, although we do not listen."""
    host, _, port = address.rpartition(":")
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    with socket.socket(family) as alone:
        # Whoever listens there already would share the port without a word.
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            alone.bind((name, int(port)))
        except OSError as error:
            raise OSError(f"cannot listen on {address}: {error.strerror}") from error
        port = str(alone.getsockname()[1])
    with socket.socket(family) as holding:
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holding.bind((name, int(port)))
        yield f"{host}:{port}"


def _pass_on(_name: str, line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _stop(processes: Sequence[SupervisedProcess], settings: Settings) -> None:
    # Both doors drain, one after the other, behind the notice.
    within = settings.drain_notice_seconds + 2 * settings.drain_seconds + BEYOND_DRAIN_SECONDS
    await asyncio.gather(*(process.stop(within_seconds=within) for process in processes))
