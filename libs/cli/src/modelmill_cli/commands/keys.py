"""`mill keys`: API keys of the tenant, and the key pairs of a token issuer and of provenance."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from modelmill_service_kit.errors import InvalidInputError
from modelmill_service_kit.nearest import did_you_mean

from modelmill_cli.certificates import LEAF_LIFE, NAMES, CertificateFolder
from modelmill_cli.commands import api_keys
from modelmill_cli.gateway import DEFAULT_TENANT, warn_of_unknown_tenant
from modelmill_cli.keys import ALL_SCOPES, AUDIENCE, ISSUER, LONGEST_LIFE, OPERATOR, LocalKeys
from modelmill_cli.output import AsJson, print_done, print_json
from modelmill_cli.state_folder import StateFolder

SCOPES = (*ALL_SCOPES, OPERATOR)

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
    as_json: AsJson = False,
) -> None:
    """Create signing-key.pem (keep it) and jwks.json (for the gateway) in FOLDER."""
    keys = LocalKeys(folder)
    keys.create()
    settings = {
        "GATEWAY_JWKS_PATH": str(keys.jwks_file.absolute()),
        "GATEWAY_JWT_ISSUER": ISSUER,
        "GATEWAY_JWT_AUDIENCE": AUDIENCE,
    }
    if as_json:
        print_json(settings)
        return
    for name, value in settings.items():
        typer.echo(f"{name}={value}")


@app.command()
def provenance(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(file_okay=False, help="Folder; that of the instance when left out."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create provenance-key.pem (keep it) and provenance.pub (for others) in FOLDER.

    `mill models export` signs with the key in the state folder; `mill verify` needs the other.
    """
    from modelmill_cli.provenance.key import ProvenanceKey

    state: StateFolder = context.obj
    key = ProvenanceKey(folder or state.keys)
    keyid = key.create()
    record = {"key": keyid, "public": str(key.public_file)}
    print_done(record, f"{keyid[:16]}: give others {key.public_file}", as_json=as_json)


def token(
    context: typer.Context,
    tenant: Annotated[str, typer.Option(help="Tenant of the token.")] = DEFAULT_TENANT,
    subject: Annotated[str, typer.Option(help="Subject of the token.")] = "local",
    scope: Annotated[
        list[str] | None,
        typer.Option(help=f"Repeatable; when left out: {ALL_SCOPES}. Operators need {OPERATOR}."),
    ] = None,
    minutes: Annotated[int, typer.Option(help="Minutes until it expires.", min=1)] = 60,
    keys: Annotated[
        Path | None,
        typer.Option(help="Folder of `mill keys new`, for a gateway that runs elsewhere."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a JWT for the gateway."""
    state: StateFolder = context.obj
    scopes = tuple(scope or ALL_SCOPES)
    errors = [
        f"no scope {name!r}.{did_you_mean(name, SCOPES)} There are {', '.join(SCOPES)}"
        for name in scopes
        if name not in SCOPES
    ]
    life = timedelta(minutes=minutes)
    if life > LONGEST_LIFE:
        errors.append(f"a token lives at most {LONGEST_LIFE}")
    if errors:
        raise InvalidInputError(errors)
    if keys is None:
        state.read_runtime()
        warn_of_unknown_tenant(state, tenant)
    signing = LocalKeys(keys or state.keys)
    issued = signing.issue(subject=subject, tenant=tenant, scopes=scopes, life=life)
    if as_json:
        print_json({"token": issued, "expires_in": int(life.total_seconds())})
    else:
        typer.echo(issued)


def certs(
    folder: Annotated[
        Path, typer.Argument(file_okay=False, help="Folder; created if it does not exist.")
    ],
    days: Annotated[
        int, typer.Option(min=1, help="Lifetime of each certificate that is created or renewed.")
    ] = LEAF_LIFE.days,
    dns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]HOST",
            help="Additional DNS name or address, of one certificate or of all; repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an authority in FOLDER and a certificate for each service, or renew those that end.

    Run again, it renews what has a third of its life left, with the same authority. ca-key.pem can
    make further certificates: keep it where no service reads.
    """
    issued = CertificateFolder(folder).ensure(life=timedelta(days=days), hosts=_hosts(dns or []))
    for one in issued:
        done = "made" if one.is_new else "kept"
        if as_json:
            ends = int(one.ends.timestamp())
            print_json({"name": one.name, "is_new": one.is_new, "ends_at": ends}, indent=None)
        else:
            typer.echo(f"{done}  {one.name:<17}  until {one.ends:%Y-%m-%d %H:%M} UTC")


def _hosts(requested: list[str]) -> dict[str, set[str]]:
    """By the name of a certificate, the hosts that it shall have besides its own."""
    hosts: dict[str, set[str]] = {name: set() for name in NAMES}
    for entry in requested:
        name, equals, host = entry.rpartition("=")
        if equals and name not in NAMES:
            raise InvalidInputError(f"--dns {entry}: there is no {name!r}, but {', '.join(NAMES)}")
        if host in NAMES:
            raise InvalidInputError(
                f"--dns {entry}: whose certificate names {host} could call and answer in its place"
            )
        for one in [name] if equals else NAMES:
            hosts[one].add(host)
    return hosts
