"""`mill keys`: API keys of the tenant, and the key pair of a token issuer."""

from pathlib import Path
from typing import Annotated

import typer

from modelmill_cli.commands import api_keys
from modelmill_cli.keys import AUDIENCE, ISSUER, LocalKeys

app = typer.Typer(no_args_is_help=True, help="Manage API keys, and keys that sign tokens.")
app.command()(api_keys.create)
app.command("list")(api_keys.list_keys)
app.command()(api_keys.show)
app.command()(api_keys.limit)
app.command()(api_keys.rotate)
app.command()(api_keys.revoke)


@app.command()
def new(
    folder: Annotated[
        Path, typer.Argument(file_okay=False, help="Folder; created if it does not exist.")
    ],
) -> None:
    """Create signing-key.pem (keep it) and jwks.json (for the gateway) in FOLDER."""
    keys = LocalKeys(folder)
    keys.create()
    typer.echo(f"GATEWAY_JWKS_PATH={keys.jwks_file.absolute()}")
    typer.echo(f"GATEWAY_JWT_ISSUER={ISSUER}")
    typer.echo(f"GATEWAY_JWT_AUDIENCE={AUDIENCE}")
