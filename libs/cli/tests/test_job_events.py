"""A job is followed by server-sent events: each once, over broken connections, to the last one."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from modelmill_cli.errors import GatewayError, JobEndedBadlyError
from modelmill_cli.gateway_client import Connection, GatewayClient
from modelmill_cli.job_watch import follow_job, parse_events, watch_job
from rich.console import Console


class Gateway(ThreadingHTTPServer):
    """Answers each connection to the events with the next of `scripts`, then hangs up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scripts: list[tuple[int, str]] = []
        self.resumed_after: list[str | None] = []
        self.job: dict[str, Any] = {"id": "ftjob-1", "status": "succeeded", "result": {}}


class _Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_GET(self) -> None:
        if self.path.endswith("/events"):
            self.server.resumed_after.append(self.headers["last-event-id"])
            status, body = self.server.scripts.pop(0)
        else:
            status, body = 200, json.dumps(self.server.job)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client(gateway: Gateway) -> Iterator[GatewayClient]:
    with GatewayClient(Connection(f"http://127.0.0.1:{gateway.server_port}", "token")) as client:
        yield client


def sent(event_id: str, **data: Any) -> str:
    body = {"object": "fine_tuning.job.event", "id": event_id, "data": data}
    return f"id: {event_id}\ndata: {json.dumps(body)}\n\n"


LAST = sent("state-9", status="succeeded")


@pytest.mark.tier("check")
def test_events_come_once_each_over_two_connections(gateway, client):
    first = ": hello\n\n" + sent("state-1", status="running") + sent("progress-2", step=2)
    third = sent("progress-3", phase="train", step=3)
    gateway.scripts = [
        (200, first + third[:-10]),
        (503, '{"error": {"message": "the bus is away"}}'),
        (200, third + LAST),
    ]
    ids = [event["id"] for event in follow_job(client, "ftjob-1")]
    assert ids == ["state-1", "progress-2", "progress-3", "state-9"]
    assert gateway.resumed_after == [None, "progress-2", "progress-2"]


@pytest.mark.tier("check")
def test_a_job_that_failed_and_was_resumed_is_followed_to_its_end(gateway, client):
    failed = sent("state-1", status="failed")
    gateway.scripts = [
        (200, failed + sent("state-2", status="queued")),
        (200, sent("progress-3", phase="train", step=3) + LAST),
    ]
    ids = [event["id"] for event in follow_job(client, "ftjob-1")]
    assert ids == ["state-1", "state-2", "progress-3", "state-9"]


def test_a_refusal_that_will_not_pass_ends_it_at_once(gateway, client):
    gateway.scripts = [(404, '{"error": {"message": "no job \'ftjob-1\'"}}')]
    with pytest.raises(GatewayError, match="404: no job"):
        list(follow_job(client, "ftjob-1"))


def test_comments_and_what_is_no_object_are_skipped_and_data_of_many_lines_is_one_event():
    lines = [": ping", "", "data: [DONE]", "", "id:7", 'data: {"a":', "data: 1}", "", "data: {}"]
    (event,) = parse_events(iter(lines))
    assert (event.id, event.body) == ("7", {"a": 1})


def test_figures_reach_the_caller_and_a_failed_job_says_what_to_do(gateway, client):
    gateway.scripts = [
        (200, sent("progress-1", phase="train", step=1, loss=2.5) + sent("s", status="failed"))
    ]
    gateway.job |= {"status": "failed", "error": {"message": "no room", "remedy": "Free some."}}
    seen: list[dict[str, Any]] = []
    console = Console(file=io.StringIO())
    with pytest.raises(JobEndedBadlyError, match=r"no room\. Free some\."):
        watch_job(client, "ftjob-1", "training", console, on_figures=seen.append)
    assert [(figures["step"], figures["loss"]) for figures in seen] == [(1, 2.5)]
