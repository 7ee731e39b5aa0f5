"""Clients that follow a job's events over HTTP and gRPC and go on where a connection broke off.

Written here and not taken from `cli`, so that a mistake there is not repeated here.
"""

import asyncio
import json
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
from modelmill.gateway.v1.gateway_service_pb2 import WatchJobRequest
from modelmill.gateway.v1.gateway_service_pb2_grpc import GatewayServiceStub
from modelmill.jobs.v1 import job_pb2 as pb
from modelmill.jobs.v1.job_pb2 import JobProgress, JobState

AGAIN_SECONDS = 0.05
QUIET_SECONDS = 20.0
"""A stream on which nothing comes for this long counts as broken."""
WORDS = {
    pb.JOB_STATUS_RUNNING: "running",
    pb.JOB_STATUS_QUEUED: "queued",
    pb.JOB_STATUS_SUCCEEDED: "succeeded",
    pb.JOB_STATUS_FAILED: "failed",
}
ENDS = ("succeeded", "failed")


@dataclass(frozen=True)
class Seen:
    """An event, named by its stream's sequence, and what it says."""

    type: str
    sequence: int
    says: str
    """The status, or how many steps are done."""

    @classmethod
    def of_state(cls, sequence: int, state: JobState) -> "Seen":
        """As a watcher must see a state."""
        return cls("state", sequence, WORDS[state.status])

    @classmethod
    def of_report(cls, sequence: int, report: JobProgress) -> "Seen":
        """As a watcher must see figures."""
        return cls("progress", sequence, str(report.done))

    @property
    def is_end(self) -> bool:
        """Whether nothing comes after it."""
        return self.type == "state" and self.says in ENDS


class Watcher:
    """One client: all that it saw, over all its connections.

    Args:
        unseal: from an id to the place in a stream that it stands for, with which what was seen is
            compared with what is stored.
    """

    api = ""

    def __init__(self, unseal: Callable[[str], str]) -> None:
        self._unseal = unseal
        self.seen: list[Seen] = []
        self.connections = 0
        """On which something came."""
        self.hears = False
        """Whether something came since the last fault."""
        self._last_id = ""

    @property
    def ended(self) -> bool:
        """Whether it saw the job's end."""
        return bool(self.seen) and self.seen[-1].is_end

    async def watch(self) -> None:
        """Until the job's end was seen, or the server says that there is nothing more."""
        while not self.ended:
            fresh = 1
            try:
                async for event_id, says in self._events(self._last_id):
                    self._see(event_id, says)
                    self.connections += fresh
                    fresh = 0
            except (httpx.HTTPError, grpc.aio.AioRpcError):
                await asyncio.sleep(AGAIN_SECONDS)

    def _see(self, event_id: str, says: str) -> None:
        type_, _, place = self._unseal(event_id).partition("-")
        self.seen.append(Seen(type_, int(place.partition(".")[0]), says))
        self._last_id = event_id
        self.hears = True

    @abstractmethod
    def _events(self, after: str) -> AsyncIterator[tuple[str, str]]:
        """Id and words of each event behind `after`, of one connection."""


class SseWatcher(Watcher):
    """`GET /v1/jobs/{id}/events`, going on by `Last-Event-ID`."""

    api = "HTTP"

    def __init__(self, url: str, token: str, job_id: str, unseal: Callable[[str], str]) -> None:
        super().__init__(unseal)
        self._url = f"{url}/v1/jobs/{job_id}/events"
        self._headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}

    async def _events(self, after: str) -> AsyncIterator[tuple[str, str]]:
        headers = self._headers | ({"last-event-id": after} if after else {})
        async with (
            httpx.AsyncClient(timeout=QUIET_SECONDS) as http,
            http.stream("GET", self._url, headers=headers) as answer,
        ):
            answer.raise_for_status()
            event: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                    continue
                # Only the empty line says that the event is whole.
                if "data" in event:
                    yield event["id"], _says(json.loads(event["data"]))
                event = {}


class GrpcWatcher(Watcher):
    """`GatewayService.WatchJob`, going on by `after`."""

    api = "gRPC"

    def __init__(self, address: str, token: str, job_id: str, unseal: Callable[[str], str]) -> None:
        super().__init__(unseal)
        self._address = address
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._job_id = job_id

    async def _events(self, after: str) -> AsyncIterator[tuple[str, str]]:
        # A channel of its own each time: one that lost its connection waits before the next.
        async with grpc.aio.insecure_channel(self._address) as channel:
            call = GatewayServiceStub(channel).WatchJob(
                WatchJobRequest(job_id=self._job_id, after=after), metadata=self._metadata
            )
            async for event in call:
                if event.WhichOneof("body") == "progress":
                    yield event.event_id, str(event.progress.done)
                else:
                    yield event.event_id, WORDS[event.status]


def _says(event: dict[str, Any]) -> str:
    data = event["data"]
    return str(data["step"] if event["type"] == "metrics" else data["status"])
