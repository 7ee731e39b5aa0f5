"""`mill keys`: the key pair of a token issuer, for gateways that `mill up` does not start."""

from pathlib import Path
from typing import Annotated

import typer

from cli.keys import AUDIENCE, ISSUER, LocalKeys

app = typer.Typer(no_args_is_help=True, help="Keys that sign tokens.")


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="Made when it is not there.")],
) -> None:
    """Make signing-key.pem (keep it) and jwks.json (give it to the gateway) in FOLDER."""
    keys = LocalKeys(folder)
    keys.create()
    typer.echo(f"GATEWAY_JWKS_PATH={keys.jwks_file.absolute()}")
    typer.echo(f"GATEWAY_JWT_ISSUER={ISSUER}")
    typer.echo(f"GATEWAY_JWT_AUDIENCE={AUDIENCE}")
