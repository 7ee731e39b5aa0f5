"""NATS and the six services on one machine: start, supervision and stop.

Ports and secrets are made at each start.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from modelmill_bus.broker_config import Identities
from modelmill_bus.permissions import DEPLOY
from modelmill_service_kit.errors import UnavailableError
from modelmill_service_kit.process_supervisor import LogLine, SupervisedProcess

from modelmill_cli.broker import FullDiskWatch, broker_command, take_over
from modelmill_cli.certificates import CertificateFolder, kept_renewed
from modelmill_cli.errors import StackFailedError
from modelmill_cli.keys import LocalKeys
from modelmill_cli.orders_socket import taking_orders
from modelmill_cli.process_group import ProcessGroup, end_leftovers
from modelmill_cli.rolling import Rolling
from modelmill_cli.stack_options import StackOptions, missing_services
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_cli.trace_collector import TraceCollector
from modelmill_cli.wiring import ASK_MODELS, BEHIND_THE_GATEWAY, StackSecrets, Wiring

__all__ = ["Stack", "StackOptions", "running_stack"]

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
        order = [name for names in STARTS for name in names]
        rolling = Rolling(processes, wiring, order)
        await stack.enter_async_context(taking_orders(state, rolling.obey, on_line))
        yield Stack(runtime, processes, keys)


async def _start(processes: ProcessGroup, wiring: Wiring) -> None:
    """The broker, which knows everybody by an identity of its own; its streams; the services."""
    # The client of the bus takes long to load, and few commands start a stack.
    from modelmill_bus.deploy import make_streams

    identities = Identities(wiring.state.bus_identities)
    identities.ensure()
    take_over(wiring.state)
    admitted = identities.authorization()
    broker = broker_command(wiring.state, port=wiring.nats_port, admitted=admitted)
    await processes.start({"nats": broker})
    await make_streams(wiring.nats_url, identities.seed(DEPLOY))
    missing = missing_services()
    for names in STARTS:
        await processes.start({name: wiring.command(name) for name in names if name not in missing})


def _certificates(
    state: StateFolder, options: StackOptions, on_line: LogLine
) -> AbstractAsyncContextManager[None]:
    if not options.tls:
        return nullcontext()
    return kept_renewed(
        CertificateFolder(state.certificates, is_shared=False), partial(on_line, "mill")
    )
