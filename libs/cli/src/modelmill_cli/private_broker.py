"""A broker of the state folder that nobody but this command uses."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modelmill_service_kit.bus_access import OwnerPassword
from modelmill_service_kit.ports import held_port

from modelmill_cli.broker import broker_command
from modelmill_cli.process_group import ProcessGroup, end_leftovers
from modelmill_cli.stack_options import HOST
from modelmill_cli.state_folder import StateFolder


@asynccontextmanager
async def private_broker(state: StateFolder) -> AsyncIterator[tuple[str, OwnerPassword]]:
    """Its address, and what opens it; call it with the state folder locked.

    Raises:
        PreconditionError: nats-server is not installed, or streams cannot be taken over.
        UnavailableError: it did not start.
    """
    # The subjects take long to load, and few commands need them.
    from modelmill_bus.broker_config import owner_authorization

    with held_port(HOST) as port:
        await end_leftovers(state, _unheard)
        password = OwnerPassword(secrets.token_urlsafe(32))
        command = broker_command(state, port=port, admitted=owner_authorization(password))
        async with ProcessGroup(_unheard, mark=state.mark) as processes:
            await processes.start({"nats": command})
            yield f"nats://{HOST}:{port}", password


def _unheard(_name: str, _line: str) -> None:
    """What the broker says; of what goes wrong its link tells."""
