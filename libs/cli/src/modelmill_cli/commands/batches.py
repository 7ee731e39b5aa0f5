"""`mill batch`: files of requests that are answered in the background."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from modelmill_service_kit.errors import PreconditionError

from modelmill_cli.commands.files import own_name, uploaded
from modelmill_cli.gateway import connect
from modelmill_cli.orders import Fields, Wait, body_of, followed
from modelmill_cli.output import (
    AsJson,
    Columns,
    print_done,
    print_facts,
    print_list,
    when,
)
from modelmill_cli.short_ids import BATCH

app = typer.Typer(no_args_is_help=True, help="Answer files of requests in the background.")

BatchId = Annotated[
    str, typer.Argument(metavar="BATCH", help="A batch, batch-..., or how its id begins.")
]
Endpoint = Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]
COLUMNS: Columns = {
    "batch": lambda batch: batch["id"],
    "status": lambda batch: batch["status"],
    "endpoint": lambda batch: batch["endpoint"],
    "answered": lambda batch: _answered(batch["request_counts"]),
    "created": lambda batch: when(batch["created_at"]),
}


@app.command()
def create(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(help="JSONL file of requests: one to upload, or an id, file-...")
    ],
    endpoint: Annotated[
        Endpoint, typer.Option(help="Route that answers each request.")
    ] = "/v1/chat/completions",
    fields: Fields = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Create a batch of a file: one request a line."""
    with connect(context.obj) as client:
        file_id = uploaded(client, file, "batch")
        given = {"input_file_id": file_id, "endpoint": endpoint, "completion_window": "24h"}
        batch: Any = client.batches.create(**body_of(given, fields))
        if not wait:
            print_done(batch, batch["id"], as_json=as_json)
            return
        followed(client, batch["id"], as_json=as_json)
        _print(client.batches.retrieve(batch["id"]), as_json=as_json)


@app.command("list")
def list_batches(context: typer.Context, as_json: AsJson = False) -> None:
    """List batches, newest first."""
    with connect(context.obj) as client:
        print_list(client.batches.list(), COLUMNS, as_json=as_json)


@app.command()
def show(context: typer.Context, batch_id: BatchId, as_json: AsJson = False) -> None:
    """Show a batch: how many requests are answered, and the files of answers."""
    with connect(context.obj) as client:
        _print(client.batches.retrieve(BATCH.full_id(client, batch_id)), as_json=as_json)


@app.command()
def cancel(context: typer.Context, batch_id: BatchId, as_json: AsJson = False) -> None:
    """Cancel a batch; what is answered by then is kept."""
    with connect(context.obj) as client:
        batch = client.batches.cancel(BATCH.full_id(client, batch_id))
        print_done(batch, f"{batch['id']}: now {batch['status']}", as_json=as_json)


@app.command()
def download(
    context: typer.Context,
    batch_id: BatchId,
    output: Annotated[
        Path | None, typer.Option(help="File to write to; by default the batch's id, here.")
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="The requests that failed, instead of the answers.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the answers of a batch to the disk: JSONL, by `custom_id`."""
    with connect(context.obj) as client:
        batch = client.batches.retrieve(BATCH.full_id(client, batch_id))
        file_id = batch["error_file_id"] if errors else batch["output_file_id"]
        if file_id is None:
            which = "failed requests" if errors else "answers"
            raise PreconditionError(
                f"{batch['id']} has no {which}: it is {batch['status']}. `mill batch show` says how"
                " far it is"
            )
        target = output or own_name(f"{batch['id']}{'-errors' if errors else ''}.jsonl")
        client.files.download(file_id, target)
    print_done({"id": batch["id"], "path": str(target)}, str(target), as_json=as_json)


def _print(batch: Any, *, as_json: bool) -> None:
    answered = _answered(batch["request_counts"])
    print_facts(batch, {"request counts": answered}, as_json=as_json)


def _answered(counts: Any) -> str:
    failed = f", {counts['failed']:,} failed" if counts["failed"] else ""
    return f"{counts['completed']:,} of {counts['total']:,}{failed}"
