"""`mill token`: a token for client apps, signed with this machine's key or a named one."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.nearest import did_you_mean

from modelmill_cli.gateway_client import DEFAULT_TENANT
from modelmill_cli.keys import ALL_SCOPES, LONGEST_LIFE, LocalKeys
from modelmill_cli.state_folder import StateFolder


def token(
    context: typer.Context,
    tenant: Annotated[str, typer.Option(help="Tenant of the token.")] = DEFAULT_TENANT,
    subject: Annotated[str, typer.Option(help="Subject of the token.")] = "local",
    scope: Annotated[
        list[str] | None, typer.Option(help=f"Repeatable; all when left out: {ALL_SCOPES}.")
    ] = None,
    minutes: Annotated[int, typer.Option(help="Minutes until it expires.", min=1)] = 60,
    keys: Annotated[
        Path | None,
        typer.Option(help="Folder of `mill keys new`, for a gateway that runs elsewhere."),
    ] = None,
) -> None:
    """Print a JWT for the gateway."""
    state: StateFolder = context.obj
    scopes = tuple(scope or ALL_SCOPES)
    errors = [
        f"no scope {name!r}.{did_you_mean(name, ALL_SCOPES)} There are {', '.join(ALL_SCOPES)}"
        for name in scopes
        if name not in ALL_SCOPES
    ]
    life = timedelta(minutes=minutes)
    if life > LONGEST_LIFE:
        errors.append(f"a token lives at most {LONGEST_LIFE}")
    if errors:
        raise InvalidInputError(errors)
    if keys is None:
        state.read_runtime()
    signing = LocalKeys(keys or state.keys)
    typer.echo(signing.issue(subject=subject, tenant=tenant, scopes=scopes, life=life))
