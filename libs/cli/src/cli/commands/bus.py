"""`mill bus`: identities for a broker that `mill up` does not start."""

from pathlib import Path
from typing import Annotated

import typer

from cli.state_folder import write_public

USERS_FILE = "users.conf"

app = typer.Typer(no_args_is_help=True, help="The message broker.")


@app.command()
def identities(
    folder: Annotated[Path, typer.Argument(file_okay=False, help="Made when it is not there.")],
) -> None:
    """Make an nkey seed for each service, and users.conf for the broker, in FOLDER.

    Seeds that are there are kept; users.conf is written anew, as the subjects of this version
    want it. It holds public keys alone.
    """
    from jobs.identities import Identities

    people = Identities(folder)
    people.ensure()
    write_public(folder / USERS_FILE, people.authorization().encode())
    typer.echo(f"broker: include {(folder / USERS_FILE).absolute()}")
    for name in people.public_keys():
        typer.echo(f"{name}: NATS_NKEY_SEED_FILE={people.seed(name).file.absolute()}")
