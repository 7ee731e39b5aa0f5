"""Rolling restart: each service is replaced by a new process beside the old one.

The successor listens at ports of its own, at which its callers look, too; the gateway's shares its
predecessor's ports. Once it is well and has been found, the predecessor says that it takes no more
calls, and ends when those in hand are answered. The broker and `mill up` itself stay as they are.
"""

import asyncio
import os
import signal
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from modelmill_service_kit.errors import DomainError, PreconditionError, UnavailableError
from modelmill_service_kit.ports import MAX_RECONNECT_SECONDS
from modelmill_service_kit.process import LAME_DUCK, Ending
from modelmill_service_kit.process_supervisor import SupervisedProcess
from modelmill_service_kit.settings import EndingSettings

from modelmill_cli.certificates import CertificateFolder
from modelmill_cli.errors import RollingFailedError
from modelmill_cli.orders_socket import Message, Tell
from modelmill_cli.process_group import ProcessGroup
from modelmill_cli.stack_options import HOST, SPARE
from modelmill_cli.state_folder import Runtime, StateFolder
from modelmill_cli.state_layout import LAYOUT
from modelmill_cli.wiring import Wiring

if TYPE_CHECKING:
    from modelmill_service_kit.mutual_tls import MutualTls

HEALTHY_SECONDS = 300.0
"""Until a successor is ready: versions that aliases name are loaded first."""
LOOK_SECONDS = 0.2
FOUND_SECONDS = 1.5 * MAX_RECONNECT_SECONDS
"""After which all callers have looked at the spare ports; the pause has a jitter of a fifth."""


def rolling_order(
    state: StateFolder, runtime: Runtime, services: Collection[str], python: str
) -> Message:
    """What to tell the mill that runs, so that it goes on with this installation.

    Raises:
        PreconditionError: what runs is of another layout, or has services that are missing here.
    """
    if runtime.layout != LAYOUT:
        raise PreconditionError(
            f"what runs on {state.path} has layout {runtime.layout}, and this mill has {LAYOUT}."
            " Stop that one, say `mill state upgrade`, and start this one with `mill up`"
        )
    running = [name for name in services if name in runtime.pids]
    if missing := [name for name in running if find_spec(f"modelmill_{name}") is None]:
        raise PreconditionError(
            f"{', '.join(missing)} would have no successor: this installation is without. Install"
            " what the running one has, for example 'modelmill[train]'"
        )
    return {"layout": LAYOUT, "python": python, "services": running}


class Rolling:
    """Replaces services of the stack that this process runs, one after the other.

    Args:
        order: of all services; who is called is replaced before its callers.
    """

    def __init__(self, processes: ProcessGroup, wiring: Wiring, order: Sequence[str]) -> None:
        self._processes = processes
        self._wiring = wiring
        self._order = order
        self._one_at_a_time = asyncio.Lock()

    async def obey(self, order: Message, tell: Tell) -> None:
        """Replace the services that the order names.

        Raises:
            PreconditionError: another order is being obeyed, or this one does not fit.
            RollingFailedError: a successor did not become well; who was to follow is left alone.
        """
        if order.get("layout") != LAYOUT:
            raise PreconditionError(f"this mill has layout {LAYOUT}. Stop it, and start yours")
        python = str(order.get("python", ""))
        if not os.path.isabs(python) or not os.access(python, os.X_OK):
            raise PreconditionError(f"{python} is no Python. Name it by its whole path")
        if self._one_at_a_time.locked():
            raise PreconditionError("services are being replaced already. Wait until that is done")
        asked = [name for name in self._order if name in order.get("services", ())]
        by = signal.SIGTERM if order.get("notice") is False else LAME_DUCK
        async with self._one_at_a_time:
            for number, name in enumerate(asked):
                await tell({"service": name, "step": "starting"})
                try:
                    await self._replace(name, python, by)
                except UnavailableError as error:
                    raise _failed(name, error, asked[number + 1 :]) from error
                await tell({"service": name, "step": "replaced"})

    async def _replace(self, name: str, python: str, by: signal.Signals) -> None:
        ports, running = self._wiring.ports[name], self._processes.running[name]
        at_spare = name != "gateway" and running.ports["grpc"] != ports[f"{SPARE}grpc"]
        command = replace(
            self._wiring.command(name),
            argv=[python, "-m", f"modelmill_{name}.main"],
            environment=self._wiring.environment(name, at_spare=at_spare),
        )
        check = partial(self._is_found, name)
        # The predecessor was told the same, by the same environment.
        leaves = Ending.lame_duck(EndingSettings(_env_prefix=f"{name.upper()}_"))
        longest = leaves.longest_seconds
        await self._processes.replace(name, command, check=check, by=by, within_seconds=longest)

    async def _is_found(self, name: str, successor: SupervisedProcess) -> None:
        if name == "gateway":
            return  # it says that it is ready once it knows all
        try:
            async with asyncio.timeout(HEALTHY_SECONDS):
                await _healthy(self._wiring, name, successor.ports["grpc"])
        except TimeoutError:
            raise UnavailableError(f"{name} was not healthy in {HEALTHY_SECONDS:g} s") from None
        await asyncio.sleep(FOUND_SECONDS)


async def _healthy(wiring: Wiring, name: str, port: int) -> None:
    """Return once the service at the port says at its health that it is ready."""
    # They take long to load, and few commands start a stack.
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from modelmill_service_kit.grpc_client import open_channel

    identity, peer = _identity(wiring), name.replace("_", "-")
    target, secret = f"{HOST}:{port}", wiring.made.service_secret
    async with open_channel(target, secret, identity=identity, peer=peer) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while True:
            with suppress(grpc.aio.AioRpcError):
                said = await stub.Check(health_pb2.HealthCheckRequest(), timeout=LOOK_SECONDS * 10)
                if said.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            await asyncio.sleep(LOOK_SECONDS)


def _identity(wiring: Wiring) -> "MutualTls | None":
    if not wiring.options.tls:
        return None
    from modelmill_service_kit.mutual_tls import MutualTls

    made = CertificateFolder(wiring.state.certificates)
    return MutualTls(made.certificate("ca"), made.certificate("gateway"), made.key("gateway"))


def _failed(name: str, error: DomainError, left: Sequence[str]) -> RollingFailedError:
    alone = f", and {', '.join(left)} were left alone" if left else ""
    return RollingFailedError(
        f"the successor of {name} did not take over ({error}); the old {name} goes on{alone}."
        " Mend what up.log in the state folder says, and repeat"
    )
