"""A broker of the state folder that nobody but this command uses."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modelmill_service_kit.ports import held_port

from modelmill_cli.broker import broker_command, token_alone
from modelmill_cli.process_group import ProcessGroup, end_leftovers
from modelmill_cli.stack_options import HOST
from modelmill_cli.state_folder import StateFolder


@asynccontextmanager
async def private_broker(state: StateFolder) -> AsyncIterator[tuple[str, str]]:
    """Its address and token; call it with the state folder locked.

    Raises:
        PreconditionError: nats-server is not installed.
        UnavailableError: it did not start.
    """
    with held_port(HOST) as port:
        await end_leftovers(state, _unheard)
        token = secrets.token_urlsafe(32)
        command = broker_command(state, port=port, admitted=token_alone(token))
        async with ProcessGroup(_unheard, mark=state.mark) as processes:
            await processes.start({"nats": command})
            yield f"nats://{HOST}:{port}", token


def _unheard(_name: str, _line: str) -> None:
    """What the broker says; of what goes wrong its link tells."""
