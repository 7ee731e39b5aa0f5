"""`mill webhooks`: endpoints that are told of events."""

from typing import Annotated, Any

import typer
from modelmill_service_kit.errors import InvalidInputError

from modelmill_cli.gateway import connect
from modelmill_cli.output import (
    AsJson,
    Columns,
    print_done,
    print_facts,
    print_list,
    print_secret,
    when,
)
from modelmill_cli.short_ids import WEBHOOK

app = typer.Typer(no_args_is_help=True, help="Manage webhook endpoints.")

WebhookId = Annotated[
    str, typer.Argument(metavar="WEBHOOK", help="An endpoint, wh-..., or how its id begins.")
]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event",
        help="Event type, such as job.failed or model.ready; repeatable. Default: all.",
    ),
]
COLUMNS: Columns = {
    "webhook": lambda webhook: webhook["id"],
    "url": lambda webhook: webhook["url"],
    "events": lambda webhook: " ".join(webhook["events"]),
    "state": lambda webhook: (
        "enabled" if webhook["enabled"] else webhook["disabled_reason"] or "disabled"
    ),
}
DELIVERIES: Columns = {
    "at": lambda delivery: when(delivery["at"]),
    "event": lambda delivery: delivery["event"],
    "attempt": lambda delivery: delivery["attempt"],
    "outcome": lambda delivery: delivery["outcome"],
    "status": lambda delivery: delivery["status"] or "",
    "next": lambda delivery: when(delivery["next_at"]) if delivery["next_at"] else "",
    "delivery": lambda delivery: delivery["delivery_id"],
}


@app.command()
def create(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="URL of the endpoint: https, at a public address.")],
    events: Events = None,
    as_json: AsJson = False,
) -> None:
    """Create an endpoint; its secret is printed once and not stored."""
    body: dict[str, Any] = {"url": url} | ({"events": events} if events else {})
    with connect(context.obj) as client:
        made = client.webhooks.create(**body)
    print_secret(made, made["secret"], as_json=as_json)


@app.command("list")
def list_webhooks(context: typer.Context, as_json: AsJson = False) -> None:
    """List endpoints."""
    with connect(context.obj) as client:
        print_list(client.webhooks.list(), COLUMNS, as_json=as_json)


@app.command()
def show(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Show an endpoint, and why it is disabled."""
    with connect(context.obj) as client:
        print_facts(client.webhooks.retrieve(WEBHOOK.full_id(client, webhook_id)), as_json=as_json)


@app.command()
def update(
    context: typer.Context,
    webhook_id: WebhookId,
    url: Annotated[str | None, typer.Option(help="New URL.")] = None,
    events: Events = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether events are delivered.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set fields of an endpoint; those that are not named stay."""
    named = {"url": url, "events": events, "enabled": enabled}
    body: Any = {name: value for name, value in named.items() if value is not None}
    if not body:
        raise InvalidInputError("name what to change: --url, --event, --enable or --disable")
    with connect(context.obj) as client:
        changed = client.webhooks.update(WEBHOOK.full_id(client, webhook_id), **body)
    print_facts(changed, as_json=as_json)


@app.command()
def rotate(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Rotate the secret of an endpoint; the old one signs, too, for a while."""
    with connect(context.obj) as client:
        made = client.webhooks.rotate(WEBHOOK.full_id(client, webhook_id))
    print_secret(made, made["secret"], as_json=as_json)


@app.command("test")
def send_test(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Send a test event; `mill webhooks deliveries` shows what became of it."""
    with connect(context.obj) as client:
        sent = client.webhooks.test(WEBHOOK.full_id(client, webhook_id))
    print_done(sent, sent["delivery_id"], as_json=as_json)


@app.command()
def deliveries(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """List attempts to deliver events, newest first."""
    with connect(context.obj) as client:
        found = client.webhooks.deliveries(WEBHOOK.full_id(client, webhook_id))
        print_list(found, DELIVERIES, as_json=as_json)


@app.command()
def delete(context: typer.Context, webhook_id: WebhookId, as_json: AsJson = False) -> None:
    """Delete an endpoint."""
    with connect(context.obj) as client:
        webhook_id = WEBHOOK.full_id(client, webhook_id)
        print_done(client.webhooks.delete(webhook_id), f"{webhook_id}: deleted", as_json=as_json)
