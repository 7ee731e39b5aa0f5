"""NATS and the six services on one machine: wired by ports and secrets made at each start."""

import secrets
from collections.abc import AsyncIterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from functools import partial
from os import getpid

from jobs.identities import Identities
from jobs.permissions import DEPLOY
from service_kit.bus_access import SEED_SUFFIX
from service_kit.errors import UnavailableError
from service_kit.process_supervisor import LogLine, SupervisedProcess, python_module

from cli.broker import FullDiskWatch, broker_command
from cli.certificates import CertificateFolder, kept_renewed
from cli.errors import StackFailedError
from cli.keys import AUDIENCE, ISSUER, LocalKeys
from cli.leftovers import end_leftovers
from cli.ports import HOST, free_port, refuse_taken_ports
from cli.process_group import Command, ProcessGroup
from cli.state_folder import Runtime, StateFolder
from cli.trace_collector import TraceCollector

OWNERS = ("data_prep", "trainer", "optimizer_builder")
WORKING_SERVICES = (*OWNERS, "gateway")
"""Own jobs; `mill up` runs both their roles in one process."""

BEHIND_THE_GATEWAY = ("moderation", *OWNERS, "inference")
ASK_MODELS = ("moderation", "data_prep", "trainer")
"""Call inference."""
STARTS = (
    tuple(name for name in BEHIND_THE_GATEWAY if name not in ASK_MODELS),
    ASK_MODELS,
    ("gateway",),
)
"""Who starts side by side, one after the other: whoever calls others is told their addresses."""


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


@dataclass(frozen=True)
class _Secrets:
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
        await end_leftovers(state, on_line)
        options.refuse_taken_ports()
        (keys := LocalKeys(state.keys)).ensure()
        await stack.enter_async_context(_certificates(state, options, on_line))
        made = _Secrets(*(secrets.token_urlsafe(32) for _ in range(2)))
        collector = await stack.enter_async_context(TraceCollector(state.spans, made.otlp_token))
        broker_port = options.nats_port or free_port()
        watch = FullDiskWatch(state.bus, on_line, lambda: processes.running["nats"].restart())
        stack.push_async_callback(watch.stop)
        processes = await stack.enter_async_context(
            ProcessGroup(watch.see, mark=state.mark, on_restart=lambda: publish_again())
        )

        def publish_again() -> None:
            if state.runtime_file.exists():  # else not all have started yet
                state.write_runtime(_runtime(state, options, made, nats_url, processes.running))

        def service(name: str) -> Command:
            environment = _common(name, state, options, made, nats_url, collector.port)
            environment |= _own(name, options, keys, processes.running)
            return Command(python_module(f"{name}.main"), environment | options.overrides)

        nats_url = f"nats://{HOST}:{broker_port}"
        try:
            await _start_bus(processes, state, broker_port, nats_url)
            for names in STARTS:
                await processes.start({name: service(name) for name in names})
        except UnavailableError:
            options.refuse_taken_ports()  # taken since we looked: say which, and by whom
            raise
        _pin_ports(processes.running)
        runtime = _runtime(state, options, made, nats_url, processes.running)
        state.write_runtime(runtime)
        yield Stack(runtime, processes, keys)


async def _start_bus(processes: ProcessGroup, state: StateFolder, port: int, url: str) -> None:
    """The broker, which knows everybody by an identity of its own, and the streams in it."""
    # The client of the bus takes long to load, and few commands start a stack.
    from jobs.deploy import make_streams

    identities = Identities(state.bus_identities)
    identities.ensure()
    broker = broker_command(state, port=port, admitted=identities.authorization())
    await processes.start({"nats": broker})
    await make_streams(url, identities.seed(DEPLOY))


def _certificates(
    state: StateFolder, options: StackOptions, on_line: LogLine
) -> AbstractAsyncContextManager[None]:
    if not options.tls:
        return nullcontext()
    return kept_renewed(CertificateFolder(state.certificates), partial(on_line, "mill"))


def _common(
    name: str,
    state: StateFolder,
    options: StackOptions,
    made: _Secrets,
    nats_url: str,
    otlp_port: int,
) -> dict[str, str]:
    identity = name.replace("_", "-")
    values = {
        "nats_url": nats_url,
        "nats_nkey_seed_file": str(state.bus_identities / f"{identity}{SEED_SUFFIX}"),
        "service_secret": made.service_secret,
        "artifact_root": options.artifacts or str(state.artifacts),
        "artifact_cache": str(state.artifact_cache),
        "otlp_endpoint": f"http://{HOST}:{otlp_port}",
        "otlp_token": made.otlp_token,
        "log_level": options.log_level,
    }
    if name in WORKING_SERVICES:
        values["work_root"] = str(state.work / name)
    if options.tls:
        values |= _mutual_tls(CertificateFolder(state.certificates), name.replace("_", "-"))
    return _prefixed(name, values)


def _mutual_tls(certificates: CertificateFolder, name: str) -> dict[str, str]:
    return {
        "mtls_authority_path": str(certificates.certificate("ca")),
        "mtls_certificate_path": str(certificates.certificate(name)),
        "mtls_key_path": str(certificates.key(name)),
    }


def _own(
    name: str,
    options: StackOptions,
    keys: LocalKeys,
    running: dict[str, SupervisedProcess],
) -> dict[str, str]:
    called: dict[str, tuple[str, ...]] = {
        "gateway": BEHIND_THE_GATEWAY,
        **dict.fromkeys(ASK_MODELS, ("inference",)),
    }
    peers = {
        f"{peer}_address": f"{HOST}:{running[peer].ports['grpc']}" for peer in called.get(name, ())
    }
    if name != "gateway":
        return _prefixed(name, peers)
    return _prefixed(
        name,
        peers
        | {
            "http_address": f"{HOST}:{options.http_port}",
            "grpc_address": f"{HOST}:{options.grpc_port}",
            "metrics_address": f"{HOST}:{options.metrics_port}",
            "jwks_path": str(keys.jwks_file),
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "webhook_key": keys.webhook_key(),
        },
    )


def _pin_ports(running: dict[str, SupervisedProcess]) -> None:
    """A service that is started again must come back where its peers look for it."""
    for name, process in running.items():
        pinned = {f"{kind}_address": f"{HOST}:{port}" for kind, port in process.ports.items()}
        process.environment |= _prefixed(name, pinned)


def _prefixed(name: str, values: dict[str, str]) -> dict[str, str]:
    return {f"{name}_{key}".upper(): value for key, value in values.items()}


def _runtime(
    state: StateFolder,
    options: StackOptions,
    made: _Secrets,
    nats_url: str,
    processes: dict[str, SupervisedProcess],
) -> Runtime:
    return Runtime(
        pid=getpid(),
        http_url=f"http://{HOST}:{options.http_port}",
        nats_url=nats_url,
        nats_seeds=str(state.bus_identities),
        service_secret=made.service_secret,
        artifact_root=options.artifacts or str(state.artifacts),
        grpc_ports={n: p.ports["grpc"] for n, p in processes.items() if "grpc" in p.ports},
        metrics_ports={n: p.ports["metrics"] for n, p in processes.items() if "metrics" in p.ports},
        pids={name: process.pid for name, process in processes.items()},
    )
