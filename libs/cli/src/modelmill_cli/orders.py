"""Orders of jobs by commands: further fields of the body, and how a job is waited for."""

import json
import re
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import typer
from modelmill_client import ApiStatusError, Modelmill
from modelmill_service_kit.errors import InvalidInputError
from rich.console import Console

from modelmill_cli.job_watch import watch_job
from modelmill_cli.job_words import Job, dataset_of, result_facts
from modelmill_cli.output import print_done, print_table_of
from modelmill_cli.short_ids import NOT_FOUND

TIME = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)\s*(s|m|min|h)?")
LISTED_SECONDS, LOOK_SECONDS = 10.0, 0.1
"""How long what was made is looked for, and between two looks."""
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


Estimate = Annotated[
    bool, typer.Option("--estimate", help="Show what it would take, and order nothing.")
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


def numbers_of(text: str, option: str, example: str) -> dict[str, float]:
    """Numbers by name, as in `a=1,b=2`; nothing of an empty text.

    Raises:
        InvalidInputError: it is written otherwise.
    """
    found = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (word.strip() for word in part.partition("="))
        try:
            number = json.loads(value)
        except ValueError:
            number = None
        if not (name and equals) or isinstance(number, bool) or not isinstance(number, int | float):
            raise InvalidInputError(f"{option} {part[:80]}: write NAME=NUMBER, as in {example}")
        found[name] = number
    return found


UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def seconds_of(text: str) -> int:
    """A time such as 90, 45s, 30m or 2h, in seconds.

    Raises:
        InvalidInputError: it is written otherwise.
    """
    written = TIME.fullmatch(text.strip())
    if written is None:
        raise InvalidInputError(f"--budget {text[:80]}: write seconds, or 45s, 30m or 2h")
    return int(float(written[1]) * UNIT_SECONDS[written[2] or ""])


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
    wait_until_listed(client, dataset_of(job), (job["result"] or {}).get("version_id") or "")
    print_table_of({**job, **made}, result_facts(job), as_json=as_json)


def wait_until_listed(client: Modelmill, dataset_id: str, version_id: str) -> None:
    """What a job makes is announced behind its success: the next command shall find it."""
    gives_up_at = time.monotonic() + LISTED_SECONDS
    while time.monotonic() < gives_up_at:
        try:
            if version_id:
                client.models.retrieve(version_id)
                return
            if not dataset_id or client.datasets.retrieve(dataset_id)["status"] == "ready":
                return
        except ApiStatusError as error:
            if error.status != NOT_FOUND:
                raise
        time.sleep(LOOK_SECONDS)


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
