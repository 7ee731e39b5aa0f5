"""A bus for records of usage that says what it is told to, and a queue that runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from modelmill.gateway.v1.gateway_events_pb2 import UsageBatch, UsageRecorded
from modelmill_gateway.adapters.usage import UsageQueue
from modelmill_gateway.metrics import USAGE_DROPPED


class Bus:
    """Says what it is told to, then stores; `answers` once for each call."""

    def __init__(self, *answers: Exception) -> None:
        self.answers = list(answers)
        self.ids: list[str] = []
        self.stored: list[tuple[str, list[str]]] = []
        """Of each message the subject's tenant and the requests."""
        self.refuses: Exception | None = None
        """What it says to all, as long as it stands here."""

    async def publish(self, subject: str, body: UsageBatch, *, msg_id: str, **_: Any) -> int:
        self.ids.append(msg_id)
        if self.answers:
            raise self.answers.pop(0)
        if self.refuses is not None:
            raise self.refuses
        assert {record.tenant for record in body.requests} == {body.tenant}
        told = (subject.rpartition(".")[2], [record.request_id for record in body.requests])
        self.stored.append(told)
        return 1


@asynccontextmanager
async def running(queue: UsageQueue) -> AsyncIterator[None]:
    """Until the block ends."""
    task = asyncio.create_task(queue.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def put(queue: UsageQueue, tenant: str, *ids: str) -> None:
    """A record for each id."""
    for each in ids:
        queue.record(UsageRecorded(tenant=tenant, request_id=each))


def dropped() -> float:
    """How many records were lost so far."""
    return float(USAGE_DROPPED._value.get())
