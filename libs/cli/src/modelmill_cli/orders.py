"""Orders of jobs by commands: further fields of the body, and how a job is waited for."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import typer
from modelmill_client import Modelmill
from modelmill_service_kit.errors import InvalidInputError
from rich.console import Console

from modelmill_cli.job_watch import watch_job
from modelmill_cli.job_words import Job, result_facts
from modelmill_cli.output import print_done, print_table_of

Wait = Annotated[
    bool, typer.Option(help="Follow the job until it ends; exit status 1 if it does not succeed.")
]
Priority = Annotated[
    Literal["low", "normal", "high"] | None, typer.Option(help="Priority among your own jobs.")
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Further field of the request body, as in hyperparameters.lora_rank=8; repeatable."
        " VALUE is JSON, or a text.",
    ),
]


def body_of(given: Mapping[str, Any], fields: Iterable[str] | None) -> dict[str, Any]:
    """The request body: options that were given, and `--set` above them.

    Raises:
        InvalidInputError: a field without a value, or within one that has no fields.
    """
    body: dict[str, Any] = {}
    for name, value in given.items():
        if value not in (None, "", [], {}):
            _set(body, name, value)
    for field in fields or ():
        name, equals, text = field.partition("=")
        if not equals or not all(name.split(".")):
            raise InvalidInputError(f"--set {field[:80]}: write FIELD=VALUE, as in seed=7")
        _set(body, name, _value(text))
    return body


def _set(body: dict[str, Any], name: str, value: Any) -> None:
    *path, last = name.split(".")
    for part in path:
        inner = body.setdefault(part, {})
        if not isinstance(inner, dict):
            raise InvalidInputError(f"--set {name[:80]}: {part} was set to {inner!r} before")
        body = inner
    body[last] = value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def follow_order(
    client: Modelmill, answer: Mapping[str, Any], *, wait: bool, as_json: bool, **made: str
) -> None:
    """Print the id of what was ordered; or wait for its job, and print what it made.

    Args:
        answer: The gateway's, to the order.
        made: Ids of what the job makes that its record does not have.

    Raises:
        JobFailedError: it did not succeed.
    """
    if not wait:
        print_done(answer, str(answer["id"]), as_json=as_json)
        return
    job = followed(client, str(answer.get("job_id") or answer["id"]), as_json=as_json)
    print_table_of({**job, **made}, result_facts(job), as_json=as_json)


def followed(client: Modelmill, job_id: str, *, as_json: bool) -> Job:
    """The job once it has succeeded; it is watched on stderr where stdout is for a program.

    Raises:
        JobFailedError: it did not.
    """
    try:
        return watch_job(client, job_id, job_id, Console(stderr=as_json, highlight=False))
    except KeyboardInterrupt:
        typer.echo(f"the job goes on; `mill jobs cancel {job_id}` ends it", err=True)
        raise
