"""`mill bus`: identities for a broker that `mill up` does not start."""

from pathlib import Path
from typing import Annotated

import typer

from modelmill_cli.output import AsJson, print_json
from modelmill_cli.state_folder import write_public

USERS_FILE, TLS_FILE = "users.conf", "tls.conf"

app = typer.Typer(no_args_is_help=True, help="Manage identities of the message broker.")


@app.command()
def identities(
    folder: Annotated[
        Path, typer.Argument(file_okay=False, help="Folder; created if it does not exist.")
    ],
    certificates: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Folder of `mill certs`; also writes tls.conf."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an nkey seed for each service, and users.conf for the broker, in FOLDER.

    Seeds that are there are kept; users.conf is written anew, as the subjects of this version
    want it. It holds public keys alone.
    """
    from modelmill_bus.broker_config import Identities, tls_settings

    people = Identities(folder)
    people.ensure()
    written = {USERS_FILE: people.authorization()}
    if certificates is not None:
        written[TLS_FILE] = tls_settings(certificates.absolute(), clients_show=False)
    for name, text in written.items():
        write_public(folder / name, text.encode())
    includes = [str((folder / name).absolute()) for name in written]
    seeds = {name: str(people.seed(name).file.absolute()) for name in people.public_keys()}
    if as_json:
        print_json({"includes": includes, "seeds": seeds})
        return
    for file in includes:
        typer.echo(f"broker: include {file}")
    for name, file in seeds.items():
        typer.echo(f"{name}: NATS_NKEY_SEED_FILE={file}")
