"""A job's events through the gateway as they happen, resumed where a connection broke off."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from modelmill_service_kit.errors import UnavailableError

from modelmill_cli.errors import GatewayError
from modelmill_cli.gateway_client import GatewayClient, unreachable

TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""A gateway that is away for longer, with no event in between, is given up on."""


@dataclass(frozen=True)
class ServerSentEvent:
    """One event of a stream."""

    id: str
    """What a reconnect resumes after; empty when the stream has no ids."""
    body: dict[str, Any]


def follow_job(client: GatewayClient, job_id: str) -> Iterator[dict[str, Any]]:
    """Every event of a job from its first to its last, each once, over any number of connections.

    Raises:
        GatewayError: no such job, or it may not be seen.
        UnavailableError: the gateway stayed away for a minute.
    """
    seen, heard_at = "", time.monotonic()
    while True:
        lost: httpx.TransportError | None = None
        try:
            headers = {"accept": "text/event-stream"} | ({"last-event-id": seen} if seen else {})
            with client.stream(f"/v1/jobs/{job_id}/events", headers) as lines:
                for event in parse_events(lines):
                    seen, heard_at = event.id or seen, time.monotonic()
                    yield event.body
                    if is_last(event.body):
                        return
        except httpx.TransportError as error:
            lost = error
        except GatewayError as error:
            if not error.may_pass:
                raise
        if time.monotonic() - heard_at > PATIENCE_SECONDS:
            raise UnavailableError(unreachable(lost) or f"no news of job {job_id} any more")
        time.sleep(RETRY_SECONDS)


def is_last(event: dict[str, Any]) -> bool:
    """Whether nothing comes after this one."""
    return (event.get("data") or {}).get("status") in TERMINAL


def parse_events(lines: Iterator[str]) -> Iterator[ServerSentEvent]:
    """The events in a stream's lines; comments and what is no JSON object are skipped."""
    event_id, data = "", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            event_id = value
        elif field == "data":
            data.append(value)
        elif not line and data:
            body = _json_object("\n".join(data))
            data = []
            if body is not None:
                yield ServerSentEvent(event_id, body)


def _json_object(text: str) -> dict[str, Any] | None:
    try:
        body = json.loads(text)
    except ValueError:
        return None  # such as OpenAI's closing [DONE]
    return body if isinstance(body, dict) else None
