"""`mill budget`: what the whole tenant may use, and what is used of it."""

from typing import Any

import typer
from modelmill_service_kit.errors import InvalidInputError
from rich.table import Table

from modelmill_cli.commands.api_keys import Money, Parallel, Period, Rpm, Tokens, Tpm, named_limits
from modelmill_cli.gateway_client import Connection, GatewayClient
from modelmill_cli.plain_text import plain
from modelmill_cli.tables import print_table

PATH = "/v1/budget"

app = typer.Typer(no_args_is_help=True, help="Set and show the tenant's limits.")


@app.command()
def show(context: typer.Context) -> None:
    """Show the tenant's limits and their use."""
    with GatewayClient(Connection.find(context.obj)) as client:
        _print(client.get(PATH))


@app.command("set")
def set_limits(
    context: typer.Context,
    requests_per_minute: Rpm = None,
    tokens_per_minute: Tpm = None,
    parallel: Parallel = None,
    tokens: Tokens = None,
    money: Money = None,
    period: Period = None,
    unlimited: bool = typer.Option(False, "--none", help="Remove all limits."),
) -> None:
    """Set limits of the tenant; limits that are not named stay."""
    wanted = named_limits(requests_per_minute, tokens_per_minute, parallel, tokens, money, period)
    if unlimited == bool(wanted):
        raise InvalidInputError("name a limit, or say --none")
    with GatewayClient(Connection.find(context.obj)) as client:
        before = {} if unlimited else client.get(PATH)["limits"]
        _print(client.put(PATH, {"limits": before | wanted}))


def _print(budget: dict[str, Any]) -> None:
    table = Table("what", "limit", "used", "leased")
    limits, usage = budget["limits"], budget["usage"]
    period = f" a {limits['period']}" if limits["period"] else ""
    for name in ("requests_per_minute", "tokens_per_minute", "parallel_requests"):
        table.add_row(name.replace("_", " "), _figure(limits[name]), "", "")
    for name in ("tokens", "money"):
        row = (_figure(limits[name]), _figure(usage[name]), _figure(usage[f"leased_{name}"]))
        table.add_row(f"{name}{period}", *row)
    print_table(table)


def _figure(value: Any) -> str:
    return "none" if value is None else plain(str(value))
