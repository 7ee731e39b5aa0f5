"""`mill requests`: what was asked and answered, of aliases that log it."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from modelmill_client import types
from modelmill_service_kit.errors import InvalidInputError, PreconditionError

from modelmill_cli.gateway import connect
from modelmill_cli.output import (
    AsJson,
    Columns,
    print_done,
    print_list,
    print_table_of,
    when,
)

app = typer.Typer(no_args_is_help=True, help="Show logged requests with their texts, delete them.")

RequestId = Annotated[
    str, typer.Argument(metavar="REQUEST", help="A request's id, as its `x-request-id` says.")
]
Model = Annotated[str | None, typer.Option(help="Model or alias that was asked for.")]
Version = Annotated[str | None, typer.Option(help="Version that answered.")]
User = Annotated[
    str | None, typer.Option(help="Whose requests: `user` of a request, else its caller.")
]
Last = Annotated[int, typer.Option(min=1, help="How many, of the newest.")]

SHOWN_CHARS = 48
COLUMNS: Columns = {
    "id": lambda logged: logged["id"],
    "at": lambda logged: when(logged["created_at"]),
    "model": lambda logged: logged["model"],
    "version": lambda logged: logged["version_id"],
    "asked": lambda logged: _beginning(logged["messages"], "user"),
    "answered": lambda logged: _beginning(logged["answers"], "assistant"),
}


@app.command("list")
def list_requests(
    context: typer.Context,
    model: Model = None,
    version: Version = None,
    user: User = None,
    last: Last = 20,
    as_json: AsJson = False,
) -> None:
    """List logged requests, newest first."""
    with connect(context.obj) as client:
        found = client.logs.list(model=model, version_id=version, user=user)
        print_list(islice(found, last), COLUMNS, as_json=as_json)


@app.command()
def show(context: typer.Context, request_id: RequestId, as_json: AsJson = False) -> None:
    """Show a logged request with its texts."""
    with connect(context.obj) as client:
        logged = client.logs.retrieve(request_id)
    print_table_of(logged, _facts(logged), as_json=as_json)


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSONL file to write; there must be none yet.")],
    model: Model = None,
    version: Version = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Write logged requests to a file as rows of a dataset, newest first, with their ids.

    Each has the first answer as its last message. Those whose texts were deleted are left out.
    """
    if file.exists():
        raise PreconditionError(f"{file} is there already. Give another name")
    count = 0
    with connect(context.obj) as client, file.open("x", encoding="utf-8") as out:
        for logged in client.logs.list(model=model, version_id=version, user=user):
            if (row := _row(logged)) is not None:
                out.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
    words = f"{file}: {count} request{'s' * (count != 1)}"
    print_done({"path": str(file), "requests": count}, words, as_json=as_json)


@app.command("delete-user")
def delete_user(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="`user` of the requests, else their caller.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the texts of all logged requests of a user, for good."""
    if not yes:
        _confirm(user)
    with connect(context.obj) as client:
        gone = client.logs.delete(user=user)
    counted = f"{gone['requests']} request{'s' * (gone['requests'] != 1)}"
    print_done(gone, f"{user}: the texts of {counted} are deleted", as_json=as_json)


def _confirm(user: str) -> None:
    """Let a person agree; where nobody can, `--yes` must be said."""
    if not sys.stdin.isatty():
        raise InvalidInputError(
            f"The texts of {user} would be deleted for good. Say --yes to do it"
        )
    typer.confirm(f"Delete the texts of all logged requests of {user} for good?", abort=True)


def _row(logged: types.LoggedRequestRecord) -> dict[str, Any] | None:
    """A row of a dataset; None of a request without texts."""
    messages, answers = logged["messages"], logged["answers"]
    if not messages or not answers:
        return None
    answer = {name: said for name, said in answers[0].items() if name != "finish_reason"}
    return {"id": logged["id"], "messages": [*messages, answer]}


def _facts(logged: types.LoggedRequestRecord) -> Iterator[tuple[str, object]]:
    yield "id", logged["id"]
    yield "at", when(logged["created_at"])
    yield "model", logged["model"]
    yield "version", logged["version_id"]
    for name in ("variant", "key_id"):
        if logged[name]:
            yield name.replace("_id", ""), logged[name]
    if logged["deleted"]:
        yield "texts", "deleted with all of their user's"
    for message in (*(logged["messages"] or ()), *(logged["answers"] or ())):
        yield message["role"], message["content"]
        for call in message.get("tool_calls", ()):
            yield "calls", f"{call['function']['name']}({call['function']['arguments']})"
    yield "ended by", logged["finish_reason"]


def _beginning(messages: Sequence[Mapping[str, Any]] | None, role: str) -> str:
    """How the last of these messages begins, in one line."""
    if messages is None:
        return "deleted"
    texts = [message["content"] for message in messages if message["role"] == role]
    text = " ".join(texts[-1].split()) if texts else ""
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"
