"""`mill certs`: certificates by which services know each other, for those who have none."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from modelmill_service_kit.errors import InvalidInputError

from modelmill_cli.certificates import LEAF_LIFE, NAMES, CertificateFolder


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
) -> None:
    """Make an authority in FOLDER and a certificate for each service, or renew those that end.

    Run again, it renews what has a third of its life left, with the same authority. ca-key.pem can
    make further certificates: keep it where no service reads.
    """
    issued = CertificateFolder(folder).ensure(life=timedelta(days=days), hosts=_hosts(dns or []))
    for one in issued:
        done = "made" if one.is_new else "kept"
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
