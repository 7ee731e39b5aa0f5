"""A broker of the state folder that nobody but this command uses."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modelmill_service_kit.bus_access import Credential, OwnerPassword
from modelmill_service_kit.ports import held_port

from modelmill_cli.broker import broker_command, is_without_accounts, take_over
from modelmill_cli.process_group import ProcessGroup, end_leftovers
from modelmill_cli.stack_options import HOST
from modelmill_cli.state_folder import StateFolder


@asynccontextmanager
async def private_broker(
    state: StateFolder, *, takes_over: bool = False
) -> AsyncIterator[tuple[str, Credential]]:
    """Its address, and what opens it; call it with the state folder locked.

    Args:
        takes_over: whether streams of a version without accounts are given to their account;
            otherwise they are shown as they are.

    Raises:
        PreconditionError: nats-server is not installed, or streams cannot be taken over.
        UnavailableError: it did not start.
    """
    with held_port(HOST) as port:
        await end_leftovers(state, _unheard)
        if takes_over:
            take_over(state)
        credential, admitted = _admission(state)
        command = broker_command(state, port=port, admitted=admitted)
        async with ProcessGroup(_unheard, mark=state.mark) as processes:
            await processes.start({"nats": command})
            yield f"nats://{HOST}:{port}", credential


def _admission(state: StateFolder) -> tuple[Credential, str]:
    """What opens the account that has the streams, and the broker's words for it."""
    # The subjects take long to load, and few commands need them.
    from modelmill_bus.broker_config import owner_authorization

    secret = secrets.token_urlsafe(32)
    if is_without_accounts(state):
        return secret, f'authorization {{ token: "{secret}" }}\n'
    password = OwnerPassword(secret)
    return password, owner_authorization(password)


def _unheard(_name: str, _line: str) -> None:
    """What the broker says; of what goes wrong its link tells."""
