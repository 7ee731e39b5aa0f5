"""What webhooks cost and take: `python -m tests.bench.webhook_rate [EVENTS]`.

One gateway's worth of them, one broker that fsyncs each message, and a receiver that answers at
once, all on this machine and in this process.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles

import uvloop
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobState
from modelmill_bus.bus import Bus
from modelmill_bus.subjects import job_state
from modelmill_gateway.composition import open_webhooks
from modelmill_gateway.domain.access import SCOPES, Caller
from modelmill_gateway.domain.secret_vault import WEBHOOK_SECRETS, SecretVault
from modelmill_gateway.domain.webhooks import Schedule
from modelmill_gateway.entrypoints.schemas.webhooks import FACTS
from modelmill_gateway.webhooks.change_webhook import Webhooks
from modelmill_registry.catalogue import DatasetCatalogue, Made, ModelCatalogue
from modelmill_testkit.nats_server import run_nats
from modelmill_testkit.waiting import eventually

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
CALM_EVENTS = 200


class Receiver:
    """When each delivery came, by its id."""

    def __init__(self) -> None:
        self.came: dict[str, float] = {}
        self.news = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0])
        await reader.readexactly(length)
        self.came[head.partition("webhook-id: ")[2].partition("\r")[0]] = time.perf_counter()
        self.news.set()
        writer.write(OK)
        await writer.drain()
        writer.close()


async def publish(bus: Bus, tenant: str, count: int) -> None:
    for number in range(count):
        state = JobState(
            job_id=f"job-{tenant}-{number}", tenant=tenant, status=JOB_STATUS_SUCCEEDED
        )
        state.updated_at.GetCurrentTime()
        await bus.publish(job_state(state.job_id), state)


@asynccontextmanager
async def webhooks(bus: Bus) -> AsyncIterator[Webhooks]:
    opened = open_webhooks(
        bus,
        asyncio.Event(),
        vault=SecretVault("a-key-of-this-measurement-alone-1", WEBHOOK_SECRETS),
        schedule=Schedule((5.0,), timedelta(days=3)),
        facts=FACTS,
        announcements=Made(ModelCatalogue(bus), DatasetCatalogue(bus)),
        allow_private=True,
    )
    async with opened as running:
        yield running


async def all_read(bus: Bus) -> bool:
    found = {info.name: info for info in await bus._link.js.consumers_info("JOBS")}
    consumer = found.get("gateway-webhook-jobs")
    return consumer is not None and consumer.num_pending == 0 and consumer.num_ack_pending == 0


async def calm(bus: Bus, receiver: Receiver) -> list[float]:
    """Milliseconds from event to receiver, one event at a time."""
    waits = []
    for _ in range(CALM_EVENTS):
        receiver.news.clear()
        began = time.perf_counter()
        await publish(bus, "tenant-1", 1)
        await receiver.news.wait()
        waits.append(1000 * (time.perf_counter() - began))
    return waits


async def rate(bus: Bus, receiver: Receiver, events: int, endpoints: int) -> float:
    """Deliveries a second when many events come at once."""
    receiver.came.clear()
    began = time.perf_counter()
    await publish(bus, f"tenant-{endpoints}", events)
    await eventually(lambda: len(receiver.came) == events * endpoints, within=600)
    return events * endpoints / (time.perf_counter() - began)


async def measured(bus: Bus, events: int) -> None:
    await publish(bus, "nobody", events)
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    began = time.perf_counter()
    async with webhooks(bus) as running:
        await eventually(lambda: all_read(bus), within=600)
        took = time.perf_counter() - began
        print(f"read past events that nobody waits for: {events / took:.0f} a second")
        for endpoints in (1, 10):
            caller = Caller(f"tenant-{endpoints}", "bench", frozenset(SCOPES))
            for _ in range(endpoints):
                await running.manage.register(url, ["job.succeeded"], caller)
        waits = await calm(bus, receiver)
        p99 = quantiles(waits, n=100)[98]
        print(f"from event to receiver: median {median(waits):.1f} ms, p99 {p99:.1f} ms")
        for endpoints in (1, 10):
            found = await rate(bus, receiver, events // 10, endpoints)
            print(f"endpoints {endpoints}: {found:.0f} deliveries a second")
    server.close()


async def main(events: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            run_nats(Path(folder)) as broker,
            Bus.connect(broker.url, broker.token, name="gateway") as bus,
        ):
            await measured(bus, events)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))
