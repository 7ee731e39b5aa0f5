"""`mill usage`: what the tenant used, as a table."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer
from modelmill_service_kit.errors import InvalidInputError
from rich.table import Table

from modelmill_cli.commands.api_keys import Money, Parallel, Period, Rpm, Tokens, Tpm, named_limits
from modelmill_cli.gateway import connect
from modelmill_cli.output import AsJson, print_json
from modelmill_cli.tables import plain, print_table

MILLION = 1_000_000
DAY_SECONDS = 86400


class Width(StrEnum):
    """Of a line's stretch of time."""

    MINUTE, HOUR, DAY = "1m", "1h", "1d"


class Apart(StrEnum):
    """What lines are kept apart by, and where an answer has it."""

    MODEL, KEY, CALLER = "model", "api_key_id", "user_id"


COUNTS = ("num_model_requests", "num_failed_requests", "input_tokens", "output_tokens")
COLUMNS = (
    *("requests", "failed", "tokens in", "tokens out"),
    *("first token", "tokens/s", "cost"),
)
WORDS = {"model": Apart.MODEL, "key": Apart.KEY, "caller": Apart.CALLER}


def usage(
    context: typer.Context,
    last: Annotated[
        int | None,
        typer.Option(min=1, help="Number of latest buckets: by default 7d, 24h or 60m."),
    ] = None,
    width: Annotated[
        Width | None, typer.Option(help="Bucket width, by UTC; 1d by default.")
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option(help="Grouping: model, key or caller; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show requests, failures, tokens, speed and cost of the last days."""
    groups = [_group(word) for word in by or ()]
    with connect(context.obj) as client:
        buckets = [
            *client.usage.list(
                last=last,
                bucket_width=width.value if width else None,
                group_by=[each.value for each in groups],
            )
        ]
    if as_json:
        for bucket in buckets:
            print_json(bucket, indent=None)
    else:
        print_table(_table(buckets, groups))


def _group(word: str) -> Apart:
    if word not in WORDS:
        raise typer.BadParameter(f"one of {', '.join(WORDS)}", param_hint="--by")
    return WORDS[word]


def _table(buckets: Sequence[Mapping[str, Any]], groups: Sequence[Apart]) -> Table:
    names = {apart: word for word, apart in WORDS.items()}
    table = Table("from (UTC)", *(names[each] for each in groups))
    for title in COLUMNS:
        table.add_column(title, justify="right")
    are_days = all(bucket["start_time"] % DAY_SECONDS == 0 for bucket in buckets)
    form = "%Y-%m-%d" if are_days else "%Y-%m-%d %H:%M"
    for bucket in buckets:
        begins = datetime.fromtimestamp(bucket["start_time"], UTC).strftime(form)
        for result in bucket["results"]:
            table.add_row(
                begins,
                *(plain(result[each.value] or "-") for each in groups),
                *(f"{result[each]:,}" for each in COUNTS),
                *_speed(result),
                f"{result['cost_micros'] / MILLION:.6f}",
            )
    return table


def _speed(result: Mapping[str, Any]) -> tuple[str, str]:
    """The mean time to a first token, and tokens per second of an answer from there on."""
    timed, seconds = result["num_timed_requests"], result["generation_seconds"]
    first = f"{result['first_token_seconds'] / timed:.3f} s" if timed else "-"
    tokens = result["generated_tokens"]
    return first, f"{tokens / seconds:.1f}" if tokens and seconds else "-"


app = typer.Typer(no_args_is_help=True, help="Set and show the tenant's limits.")


@app.command()
def show(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the tenant's limits and their use."""
    with connect(context.obj) as client:
        _print(client.budget.retrieve(), as_json=as_json)


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
    as_json: AsJson = False,
) -> None:
    """Set limits of the tenant; limits that are not named stay."""
    wanted = named_limits(requests_per_minute, tokens_per_minute, parallel, tokens, money, period)
    if unlimited == bool(wanted):
        raise InvalidInputError("name a limit, or say --none")
    with connect(context.obj) as client:
        before: Mapping[str, Any] = {} if unlimited else client.budget.retrieve()["limits"]
        limits: Any = {**before, **wanted}
        _print(client.budget.set(limits=limits), as_json=as_json)


def _print(budget: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(budget)
        return
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
