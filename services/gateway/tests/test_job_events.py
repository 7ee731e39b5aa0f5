"""What happens to a job, streamed while it happens: whole, in order, and resumable."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
import pytest
from gateway_support.house import House
from modelmill.jobs.v1.job_pb2 import (
    JOB_STATUS_RUNNING,
    JOB_STATUS_SUCCEEDED,
    JobProgress,
    JobRequested,
    JobState,
)
from modelmill_bus.subjects import job_progress, job_state
from modelmill_gateway.domain.access import Caller
from modelmill_gateway.domain.request_context import RequestContext
from modelmill_gateway.entrypoints.http.jobs import HEARTBEAT, RETRY, JobEventReplies
from modelmill_gateway.ordering.watch_job import SealedEventIds
from modelmill_job_index.index import JobEvent, JobRecord
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.waiting import eventually
from starlette.requests import Request

pytestmark = pytest.mark.asyncio(loop_scope="module")

IDS = SealedEventIds("a-secret-of-the-tests")
STREAMED = {"accept": "text/event-stream"}


async def order(client: httpx.AsyncClient) -> str:
    form = {"files": {"file": ("a.jsonl", b"{}")}, "data": {"purpose": "fine-tune"}}
    file = (await client.post("/v1/files", **form)).json()["id"]
    body = {"model": "tiny", "training_file": file}
    return str((await client.post("/v1/fine_tuning/jobs", json=body)).json()["id"])


async def say_state(house: House, job_id: str, **fields: object) -> None:
    state = JobState(job_id=job_id, kind="train", tenant="watcher", **fields)
    state.updated_at.GetCurrentTime()
    await house.bus.publish(job_state(job_id), state)


async def say_loss(house: House, job_id: str, step: int) -> None:
    progress = JobProgress(
        job_id=job_id, fence=10**6, phase="train", done=step, metrics={"loss": 1.0}
    )
    progress.at.GetCurrentTime()
    await house.bus.publish(job_progress(job_id), progress)


@asynccontextmanager
async def watching(
    client: httpx.AsyncClient, path: str, **headers: str
) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
    """The events of a stream, by id."""
    async with client.stream("GET", path, headers=STREAMED | headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer.aiter_lines())


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    event_id = ""
    async for line in lines:
        if line.startswith("id: "):
            event_id = line.removeprefix("id: ")
        elif line.startswith("data: "):
            yield event_id, json.loads(line.removeprefix("data: "))


async def test_a_stream_tells_what_happens_and_ends_with_the_job(house: House):
    client = house.http(tenant="watcher")
    job_id = await order(client)
    path = f"/v1/jobs/{job_id}/events"
    async with watching(client, path) as events:
        await say_state(house, job_id, status=JOB_STATUS_RUNNING, attempt=1)
        first_id, first = await anext(events)
        await say_loss(house, job_id, 1)
        second_id, second = await anext(events)
        await say_loss(house, job_id, 2)
        await say_state(house, job_id, status=JOB_STATUS_SUCCEEDED, attempt=1)
        rest = [event async for event in events]

    assert (first["object"], first["data"]["status"]) == ("job.event", "running")
    assert (second["type"], second["data"]["step"]) == ("metrics", 1)
    last_id, last = rest[-1]
    assert last["data"]["status"] == "succeeded"
    assert [event["data"].get("step") for _, event in rest] == [2, None]

    async with watching(client, path, **{"last-event-id": second_id}) as events:
        assert [event_id async for event_id, _ in events] == [event_id for event_id, _ in rest]
    async with watching(client, f"{path}?after={first_id}") as events:
        assert (await anext(events))[0] == second_id
    seen_all = await client.get(path, headers=STREAMED | {"last-event-id": last_id})
    assert (seen_all.status_code, seen_all.content) == (204, b"")


async def test_the_fine_tuning_path_streams_for_who_accepts_a_stream(house: House):
    client = house.http(tenant="watcher")
    job_id = await order(client)
    await say_state(house, job_id, status=JOB_STATUS_SUCCEEDED)
    path = f"/v1/fine_tuning/jobs/{job_id}/events"

    async with watching(client, path) as events:
        streamed = [event async for _, event in events]
    page = (await client.get(path)).json()

    assert {event["object"] for event in streamed + page["data"]} == {"fine_tuning.job.event"}
    assert [event["message"] for event in streamed] == [e["message"] for e in page["data"]]


@pytest.mark.parametrize("after", ["nonsense", "state-999999999", "progress-999999999"])
async def test_an_id_that_names_no_event_is_refused(house: House, after: str):
    client = house.http(tenant="watcher")
    job_id = await order(client)
    answer = await client.get(
        f"/v1/jobs/{job_id}/events", headers=STREAMED | {"last-event-id": after}
    )

    assert answer.status_code == 422
    assert after in answer.json()["error"]["message"]


async def test_another_tenants_job_is_not_to_be_watched(house: House):
    job_id = await order(house.http(tenant="watcher"))
    stranger = house.http(tenant="stranger")

    for path in (f"/v1/jobs/{job_id}/events", f"/v1/fine_tuning/jobs/{job_id}/events"):
        assert (await stranger.get(path, headers=STREAMED)).status_code == 404


CALLER = Caller("acme", "ada", frozenset())
JOB = JobRecord(JobRequested(job_id="job-1", tenant="acme"), JobState(), None, ())


def streamed_request() -> Request:
    return Request(
        {
            "type": "http",
            "headers": [(b"accept", b"text/event-stream")],
            "query_string": b"",
            "state": {"context": RequestContext(CALLER, "req-1")},
        }
    )


async def test_figures_that_the_stream_has_forgotten_come_from_what_the_job_made(house: House):
    client = house.http(tenant="watcher")
    job_id = await order(client)
    house.trainer.figures[job_id] = [2.0, 1.0, 0.5]
    await say_state(house, job_id, status=JOB_STATUS_RUNNING, attempt=1)
    await say_state(house, job_id, status=JOB_STATUS_SUCCEEDED, attempt=1)
    path = f"/v1/fine_tuning/jobs/{job_id}/events"

    async def listed() -> list[dict[str, Any]]:
        return (await client.get(path)).json()["data"][::-1]

    await eventually(lambda: _has_ended(client, job_id))
    told = await listed()
    async with watching(client, path) as events:
        streamed = [event async for _, event in events]
    async with watching(client, path, **{"last-event-id": "step-2"}) as events:
        rest = [event async for _, event in events]

    assert [event["type"] for event in told] == ["message", *["metrics"] * 3, "message"]
    assert [event["data"].get("loss") for event in told] == [None, 2.0, 1.0, 0.5, None]
    assert told[2]["message"] == "train step 2: loss=1"
    assert streamed == told
    assert rest == told[3:]
    unknown = await client.get(path, headers=STREAMED | {"last-event-id": "step-9"})
    assert unknown.status_code == 422

    del house.trainer.figures[job_id]
    assert [event["type"] for event in await listed()] == ["message", "message"]


async def _has_ended(client: httpx.AsyncClient, job_id: str) -> bool:
    return bool((await client.get(f"/v1/jobs/{job_id}")).json()["status"] == "succeeded")


class Told:
    """A watcher that tells what a test puts in; an error is raised."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[JobEvent | Exception] = asyncio.Queue()
        self.left = False

    async def __call__(
        self, caller: Caller, job_id: str, after: str | None
    ) -> AsyncIterator[JobEvent]:
        try:
            while True:
                event = await self.events.get()
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.left = True


@asynccontextmanager
async def told_stream(
    told: Told, stopping: asyncio.Event, heartbeat_seconds: float = 30
) -> AsyncIterator[AsyncIterator[bytes]]:
    replies = JobEventReplies(told, IDS, stopping, heartbeat_seconds)
    response = await replies.reply(streamed_request(), JOB, "job.event")
    lines = response.body_iterator  # type: ignore[attr-defined]
    assert await anext(lines) == RETRY
    yield lines
    await lines.aclose()


async def test_a_quiet_stream_says_that_it_is_alive_and_loses_nothing(house: House):
    told = Told()
    async with told_stream(told, asyncio.Event(), heartbeat_seconds=0.01) as lines:
        assert [await anext(lines) for _ in range(3)] == [HEARTBEAT] * 3
        running = JobState(status=JOB_STATUS_RUNNING)
        told.events.put_nowait(JobEvent(7, datetime(2026, 1, 1), "state", "running", running))
        while (line := await anext(lines)) == HEARTBEAT:
            pass
    shown = line.removeprefix(b"id: ").partition(b"\n")[0].decode()
    assert IDS.unseal(JOB.requested.job_id, shown) == "state-7"


async def test_a_stream_ends_with_the_process_whatever_the_job_does(house: House):
    stopping = asyncio.Event()
    async with told_stream(Told(), stopping) as lines:
        stopping.set()
        assert [line async for line in lines] == []


async def test_nobody_is_told_anything_once_the_stream_is_left(house: House):
    told = Told()
    async with told_stream(told, asyncio.Event(), heartbeat_seconds=0.01) as lines:
        assert await anext(lines) == HEARTBEAT
    await eventually(lambda: told.left)


async def test_what_goes_wrong_in_a_stream_is_its_last_event(house: House):
    told = Told()
    async with told_stream(told, asyncio.Event()) as lines:
        told.events.put_nowait(UnavailableError("the bus does not answer"))
        rest = [line async for line in lines]

    assert len(rest) == 1
    assert rest[0].startswith(b"event: error\ndata: ")
    assert b"the bus does not answer" in rest[0]
