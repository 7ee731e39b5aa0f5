"""`mill tenants`: tenants of this installation, for operators."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from modelmill_cli.commands.api_keys import Money, Parallel, Period, Rpm, Tokens, Tpm, named_limits
from modelmill_cli.gateway import connect_as_operator
from modelmill_cli.output import (
    AsJson,
    Columns,
    print_done,
    print_json,
    print_list,
    print_table_of,
    when,
)

app = typer.Typer(no_args_is_help=True, help="Manage tenants, as the operator.")

Name = Annotated[str, typer.Argument(metavar="TENANT", help="Name, as tokens have it.")]
LOOK_SECONDS = 1.0
COLUMNS: Columns = {
    "tenant": lambda tenant: tenant["id"],
    "status": lambda tenant: tenant["status"],
    "created": lambda tenant: when(tenant["created_at"]) if tenant["created_at"] else "",
    "limits": lambda tenant: _limits(tenant) or "none",
}


@app.command()
def create(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Create a tenant; `mill token --tenant` makes its first token."""
    with connect_as_operator(context.obj) as client:
        made = client.tenants.create(name=name)
    print_done(made, f"{made['id']}: created", as_json=as_json)


@app.command("list")
def list_tenants(context: typer.Context, as_json: AsJson = False) -> None:
    """List tenants that were created or have something."""
    with connect_as_operator(context.obj) as client:
        print_list(client.tenants.list(), COLUMNS, as_json=as_json)


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show a tenant, its limits and their use."""
    with connect_as_operator(context.obj) as client:
        _print(client.tenants.retrieve(name), as_json=as_json)


@app.command()
def limit(
    context: typer.Context,
    name: Name,
    requests_per_minute: Rpm = None,
    tokens_per_minute: Tpm = None,
    parallel: Parallel = None,
    tokens: Tokens = None,
    money: Money = None,
    period: Period = None,
    unlimited: bool = typer.Option(False, "--none", help="Remove all limits."),
    as_json: AsJson = False,
) -> None:
    """Set limits of a tenant; limits that are not named stay."""
    wanted = named_limits(requests_per_minute, tokens_per_minute, parallel, tokens, money, period)
    if unlimited == bool(wanted):
        raise InvalidInputError("name a limit, or say --none")
    with connect_as_operator(context.obj) as client:
        before: Mapping[str, Any] = {} if unlimited else client.tenants.retrieve(name)["limits"]
        limits: Any = {**before, **wanted}
        _print(client.tenants.limit(name, limits=limits), as_json=as_json)


@app.command()
def suspend(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Pause a tenant: its tokens and keys are refused, and jobs that it ordered run on."""
    with connect_as_operator(context.obj) as client:
        done = client.tenants.suspend(name)
    print_done(done, f"{name}: suspended; `mill tenants resume {name}`", as_json=as_json)


@app.command()
def resume(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Resume a suspended tenant."""
    with connect_as_operator(context.obj) as client:
        done = client.tenants.resume(name)
    print_done(done, f"{name}: {done['status']}", as_json=as_json)


@app.command()
def export(
    context: typer.Context,
    name: Name,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", dir_okay=False, help="Archive to write.", show_default="TENANT.tar"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export all that a tenant has: records as JSON lines, files, datasets and model cards."""
    file = file or Path(f"{name}.tar")
    if file.exists():
        raise PreconditionError(f"there is a file {file} already. Name another one")
    with connect_as_operator(context.obj) as client:
        client.tenants.export(name, file)
    done = {"tenant": name, "path": str(file), "bytes": file.stat().st_size}
    print_done(done, str(file), as_json=as_json)


@app.command()
def delete(
    context: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the name again.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until all is removed.")] = True,
    as_json: AsJson = False,
) -> None:
    """Delete a tenant for good, with all that it has, and report what was removed.

    Again, it follows a deletion that was begun, or says that it is done.
    """
    with connect_as_operator(context.obj) as client:
        before = client.tenants.retrieve(name)
        if before["status"] != "deleted" and not yes:
            _confirm(name)
        done = client.tenants.delete(name)
        if wait and done["status"] != "deleted":
            typer.echo(f"{name}: deleting; it goes on if you stop waiting", err=True)
        while wait and done["status"] != "deleted":
            time.sleep(LOOK_SECONDS)
            done = client.tenants.retrieve(name)
    if as_json:
        print_json(done)
        return
    words = "already deleted" if before["status"] == "deleted" else done["status"]
    print_done(done, f"{name}: {words}", as_json=False)
    removed = done.get("removed") or {}
    print_table_of(done, removed.items(), as_json=False)


def _confirm(name: str) -> None:
    """Let a person write the name; where nobody can, `--yes` must be said."""
    if not sys.stdin.isatty():
        raise InvalidInputError(f"{name} would be deleted for good. Say --yes to do it")
    said = typer.prompt(f"All that {name} has is deleted for good. Write its name")
    if said != name:
        raise InvalidInputError(f"{said!r} is not {name!r}. Nothing was deleted")


def _print(tenant: Mapping[str, Any], *, as_json: bool) -> None:
    usage = tenant["usage"]
    facts = {
        "tenant": tenant["id"],
        "status": tenant["status"],
        "created": when(tenant["created_at"]) if tenant["created_at"] else "by no operator",
        "limits": _limits(tenant) or "none",
        "used": f"{usage['tokens']} tokens, {usage['money']} money",
    }
    print_table_of(tenant, facts.items(), as_json=as_json)


def _limits(tenant: Mapping[str, Any]) -> str:
    given = tenant["limits"].items()
    return ", ".join(f"{name} {value}" for name, value in given if value is not None)
