"""`mill keys create|list|show|limit|rotate|revoke`: API keys of the tenant, through the gateway."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer
from modelmill_client import Modelmill
from modelmill_service_kit.errors import InvalidInputError

from modelmill_cli.gateway import connect
from modelmill_cli.output import (
    AsJson,
    Columns,
    print_done,
    print_list,
    print_secret,
    print_table_of,
    when,
)
from modelmill_cli.short_ids import KEY
from modelmill_cli.tables import plain

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="Its id, or how it begins.")]
COLUMNS: Columns = {
    "key": lambda key: key["id"],
    "name": lambda key: key["name"],
    "begins with": lambda key: key["prefix"],
    "status": lambda key: key["status"],
    "scopes": lambda key: " ".join(key["scopes"]),
    "models": lambda key: " ".join(key["models"]) or "all",
    "ends": lambda key: when(key["expires_at"]),
}
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the key.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", help="Scope; repeatable. Default: chat and models:read."),
]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="Model that the key may ask; repeatable. Default: every model."),
]
Expires = Annotated[
    str | None,
    typer.Option("--expires-in", help="Lifetime, for example 90d, 12h or 30m. Default: no expiry."),
]
Rpm = Annotated[int | None, typer.Option("--requests-per-minute", min=1)]
Tpm = Annotated[int | None, typer.Option("--tokens-per-minute", min=1)]
Parallel = Annotated[
    int | None, typer.Option("--parallel", min=1, help="Maximum parallel requests.")
]
Tokens = Annotated[int | None, typer.Option("--tokens", min=1, help="Maximum tokens in a period.")]
Money = Annotated[
    str | None, typer.Option("--money", help="Maximum cost in a period, for example 12.50.")
]
Period = Annotated[
    str | None,
    typer.Option(
        "--period", help="Period, by UTC: day or month; without one, limits are never renewed."
    ),
]


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of the key.")],
    scopes: Scopes = None,
    models: Models = None,
    expires_in: Expires = None,
    requests_per_minute: Rpm = None,
    tokens_per_minute: Tpm = None,
    parallel: Parallel = None,
    tokens: Tokens = None,
    money: Money = None,
    period: Period = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Create an API key; it is printed once and not stored."""
    limits = named_limits(requests_per_minute, tokens_per_minute, parallel, tokens, money, period)
    body: dict[str, Any] = {"name": name}
    body |= {"scopes": scopes} if scopes else {}
    body |= {"models": models} if models else {}
    body |= {"expires_in_seconds": _seconds(expires_in)} if expires_in else {}
    body |= {"limits": limits} if limits else {}
    with connect(context.obj) as client:
        key = client.keys.create(**body)
        print_secret(key, key["key"], as_json=as_json, quiet=quiet)
        for unknown in _unknown_models(client, models or []):
            typer.echo(
                f"warning: no model is called {plain(unknown)} now. `mill models list` shows what"
                " there is",
                err=True,
            )


def _unknown_models(client: Modelmill, wanted: list[str]) -> list[str]:
    """Those that there are not yet: a key may be made before its model."""
    if not wanted:
        return []
    models: Sequence[Mapping[str, Any]] = client.models.list()
    known = {each[field] for each in models for field in ("id", "name") if field in each}
    return [name for name in wanted if name not in known]


def list_keys(context: typer.Context, as_json: AsJson = False) -> None:
    """List API keys, newest first, including revoked and expired ones."""
    with connect(context.obj) as client:
        print_list(client.keys.list(), COLUMNS, as_json=as_json)


def show(context: typer.Context, key_id: KeyId, as_json: AsJson = False) -> None:
    """Show an API key: scopes, expiry, limits and use."""
    with connect(context.obj) as client:
        _print_record(client.keys.retrieve(KEY.full_id(client, key_id)), as_json=as_json)


def limit(
    context: typer.Context,
    key_id: KeyId,
    requests_per_minute: Rpm = None,
    tokens_per_minute: Tpm = None,
    parallel: Parallel = None,
    tokens: Tokens = None,
    money: Money = None,
    period: Period = None,
    unlimited: Annotated[bool, typer.Option("--none", help="Remove all limits.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set limits of an API key; limits that are not named stay."""
    wanted = named_limits(requests_per_minute, tokens_per_minute, parallel, tokens, money, period)
    if unlimited == bool(wanted):
        raise InvalidInputError("name a limit, or say --none")
    with connect(context.obj) as client:
        key_id = KEY.full_id(client, key_id)
        before: Mapping[str, Any] = {} if unlimited else client.keys.retrieve(key_id)["limits"]
        limits: Any = {**before, **wanted}
        _print_record(client.keys.update(key_id, limits=limits), as_json=as_json)


def rotate(
    context: typer.Context, key_id: KeyId, quiet: Quiet = False, as_json: AsJson = False
) -> None:
    """Rotate an API key: print a new secret once, and refuse the old one."""
    with connect(context.obj) as client:
        key = client.keys.rotate(KEY.full_id(client, key_id))
    print_secret(key, key["key"], as_json=as_json, quiet=quiet)


def revoke(context: typer.Context, key_id: KeyId, as_json: AsJson = False) -> None:
    """Revoke an API key for good."""
    with connect(context.obj) as client:
        key_id = KEY.full_id(client, key_id)
        print_done(client.keys.delete(key_id), f"{key_id} is revoked", as_json=as_json)


def named_limits(
    requests: int | None,
    tokens_a_minute: int | None,
    parallel: int | None,
    tokens: int | None,
    money: str | None,
    period: str | None,
) -> dict[str, Any]:
    """Those that were named, as the gateway takes them."""
    named = {
        "requests_per_minute": requests,
        "tokens_per_minute": tokens_a_minute,
        "parallel_requests": parallel,
        "tokens": tokens,
        "money": money,
        "period": period,
    }
    return {name: value for name, value in named.items() if value is not None}


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    if found is None:
        raise InvalidInputError("--expires-in must be like 90d, 12h or 30m")
    return int(int(found[1]) * UNITS[found[2]].total_seconds())


def _print_record(key: Mapping[str, Any], *, as_json: bool) -> None:
    limits = {name: value for name, value in key["limits"].items() if value is not None}
    rows = {
        "key": key["id"],
        "name": key["name"],
        "begins with": key["prefix"],
        "status": key["status"],
        "scopes": " ".join(key["scopes"]),
        "models": " ".join(key["models"]) or "all",
        "limits": ", ".join(f"{name} {value}" for name, value in limits.items()) or "none",
        **_used(key.get("usage")),
        "ends": when(key["expires_at"]),
        "made": f"{when(key['created_at'])} by {key['created_by']}",
        "changed by": key["changed_by"],
    }
    print_table_of(key, rows.items(), as_json=as_json)


def _used(usage: Mapping[str, Any] | None) -> dict[str, str]:
    """What is used of the limits, where that is told and there are some."""
    if usage is None:
        return {}
    since = f" since {when(usage['period_start'])}" if usage["period_start"] else ""
    leased = f"{usage['leased_tokens']} tokens and {usage['leased_money']} money"
    return {
        "used": f"{usage['tokens']} tokens, {usage['money']} money{since}",
        "leased": f"{leased} on top, used or not",
    }
