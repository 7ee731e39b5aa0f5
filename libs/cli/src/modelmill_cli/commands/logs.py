"""`mill logs`: what the processes of `mill up` said."""

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict
from typing import Annotated, Literal

import typer
from modelmill_service_kit.errors import InvalidInputError, PreconditionError
from modelmill_service_kit.nearest import did_you_mean

from modelmill_cli.log_entries import LogEntry, LogFilter, read_entries
from modelmill_cli.output import AsJson, print_json
from modelmill_cli.state_folder import StateFolder

Level = Literal["debug", "info", "warning", "error"]


def logs(
    context: typer.Context,
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE", help="Services such as gateway, or nats; else all."),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Last entries.")] = 100,
    level: Annotated[Level, typer.Option(help="Least level.")] = "debug",
    text: Annotated[
        str, typer.Option("--text", help="Text in an entry, such as the id of a request or job.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the log of `mill up`: the last entries of all services, or of some."""
    state: StateFolder = context.obj
    wanted = LogFilter(frozenset(map(_known, services or ())), level, text)
    looks = read_entries(state.path / "up.log", follow=follow)
    try:
        _show(deque(filter(wanted, next(looks)), maxlen=lines), as_json=as_json)
    except FileNotFoundError:
        raise PreconditionError(
            f"{state.path} has no log: `mill up` has not run on it. Name another one, as in"
            " `mill --state FOLDER logs`"
        ) from None
    for look in looks:
        _show(filter(wanted, look), as_json=as_json)


def _show(entries: Iterable[LogEntry], *, as_json: bool) -> None:
    for entry in entries:
        if as_json:
            print_json(asdict(entry), indent=None)
        else:
            typer.echo(entry.text)


def _known(service: str) -> str:
    """The name of a process; services are also written with hyphens, as images are."""
    # They load what starts processes, which few commands use.
    from modelmill_cli.logged_stack import BROKER
    from modelmill_cli.stack_options import SERVICES

    name, processes = service.replace("-", "_"), (*SERVICES, BROKER)
    if name in processes:
        return name
    known, near = ", ".join(processes), did_you_mean(name, processes)
    raise InvalidInputError(f"no service {service!r}.{near} There are {known}")
