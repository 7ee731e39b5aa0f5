"""NATS and the six services on one machine: wired by ports and secrets made at each start."""

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from os import getpid

from service_kit.errors import PreconditionError

from cli.broker import broker_command
from cli.keys import AUDIENCE, ISSUER, LocalKeys
from cli.process_supervisor import LogLine, SupervisedProcess, python_module
from cli.state_folder import Runtime, StateFolder
from cli.trace_collector import TraceCollector

WORKING_SERVICES = ("data_prep", "trainer", "optimizer_builder")
"""Own jobs; `mill up` runs both their roles in one process."""

START_ORDER = ("moderation", "data_prep", "trainer", "optimizer_builder", "inference", "gateway")
"""The gateway comes last: it is told the others' addresses."""


@dataclass(frozen=True)
class StackOptions:
    """How to run the stack. `overrides` are settings of services, by their full names."""

    http_port: int = 8080
    log_level: str = "INFO"
    overrides: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    runtime: Runtime
    processes: dict[str, SupervisedProcess]
    keys: LocalKeys


@dataclass(frozen=True)
class _Secrets:
    nats_token: str
    service_secret: str
    otlp_token: str


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
        _refuse_taken_port("127.0.0.1", options.http_port)
        keys = LocalKeys(state.keys)
        keys.ensure()
        made = _Secrets(*(secrets.token_urlsafe(32) for _ in range(3)))
        collector = await stack.enter_async_context(TraceCollector(state.spans, made.otlp_token))
        broker_port = _free_port()
        command = broker_command(state, port=broker_port, token=made.nats_token)
        processes: dict[str, SupervisedProcess] = {}

        async def start(name: str, argv: list[str], environment: dict[str, str]) -> None:
            process = SupervisedProcess(name, argv, environment, on_line)
            stack.push_async_callback(process.stop)
            await process.start()
            processes[name] = process

        await start("nats", command, {})
        nats_url = f"nats://127.0.0.1:{broker_port}"
        for name in START_ORDER:
            environment = _common(name, state, options, made, nats_url, collector.port)
            environment |= _own(name, state, options, keys, processes)
            await start(name, python_module(f"{name}.main"), environment | options.overrides)
            processes[name].environment |= _pin_ports(name, processes[name].ports)
        runtime = _runtime(options, made, nats_url, processes)
        state.write_runtime(runtime)
        yield Stack(runtime, processes, keys)


def _common(
    name: str,
    state: StateFolder,
    options: StackOptions,
    made: _Secrets,
    nats_url: str,
    otlp_port: int,
) -> dict[str, str]:
    values = {
        "nats_url": nats_url,
        "nats_token": made.nats_token,
        "service_secret": made.service_secret,
        "artifact_root": str(state.artifacts),
        "otlp_endpoint": f"http://127.0.0.1:{otlp_port}",
        "otlp_token": made.otlp_token,
        "log_level": options.log_level,
    }
    if name in WORKING_SERVICES:
        values["work_root"] = str(state.work / name)
    return _prefixed(name, values)


def _own(
    name: str,
    state: StateFolder,
    options: StackOptions,
    keys: LocalKeys,
    running: dict[str, SupervisedProcess],
) -> dict[str, str]:
    if name != "gateway":
        return {}
    peers = {
        f"{peer}_address": f"127.0.0.1:{running[peer].ports['grpc']}"
        for peer in START_ORDER
        if peer in running
    }
    return _prefixed(
        name,
        peers
        | {
            "http_address": f"127.0.0.1:{options.http_port}",
            "jwks_path": str(keys.jwks_file),
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
        },
    )


def _pin_ports(name: str, ports: dict[str, int]) -> dict[str, str]:
    """A service that is started again must come back where its peers look for it."""
    pinned = {f"{kind}_address": f"127.0.0.1:{port}" for kind, port in ports.items()}
    return _prefixed(name, pinned)


def _prefixed(name: str, values: dict[str, str]) -> dict[str, str]:
    return {f"{name}_{key}".upper(): value for key, value in values.items()}


def _runtime(
    options: StackOptions,
    made: _Secrets,
    nats_url: str,
    processes: dict[str, SupervisedProcess],
) -> Runtime:
    return Runtime(
        pid=getpid(),
        http_url=f"http://127.0.0.1:{options.http_port}",
        nats_url=nats_url,
        nats_token=made.nats_token,
        service_secret=made.service_secret,
        grpc_ports={n: p.ports["grpc"] for n, p in processes.items() if "grpc" in p.ports},
        metrics_ports={n: p.ports["metrics"] for n, p in processes.items() if "metrics" in p.ports},
        pids={name: process.pid for name, process in processes.items()},
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _refuse_taken_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise PreconditionError(
                f"port {port} is taken; stop what listens there or give --port another one"
            ) from None
