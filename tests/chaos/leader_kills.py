"""Three brokers, every stream on all of them, and the leader of JOBS killed again and again."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
from google.protobuf.struct_pb2 import Struct
from modelmill_bus.bus import Bus
from modelmill_jobs.submit import JobQueue
from modelmill_service_kit.errors import UnavailableError
from modelmill_testkit.nats_cluster import NatsCluster, run_nats_cluster
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext

STREAM, REQUESTS = "JOBS", ("job.requested.train.>",)
LOOK_SECONDS = 0.1
MOST_RETRY_SECONDS = 1.0
"""A refused caller asks again after up to this, as the jitter of clients has it: callers in step
would all wait for an answer of the dead one while the next leads already."""
PATIENCE_SECONDS = 300.0
"""For the whole run; a cluster that does not come back would be waited for for ever."""
DOWN_SECONDS = (0.5, 2.0)
"""How long a killed broker is gone."""

OnAck = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """One run."""

    publishes: int = 10_000
    kills: int = 5
    """Of the leader, spread over the run; each time the broker comes back and catches up."""
    connections: int = 3
    callers: int = 12
    """Each submits one job after the other, and asks again with the same key until it hears yes."""


@dataclass(frozen=True)
class LeaderKills:
    """What the callers heard and what the stream holds, read from two of three brokers."""

    acked: int
    lost: int
    """Of these, not in the stream."""
    doubled: int
    """Jobs that the stream holds more than once."""
    kills: int
    """SIGKILL of whoever led the stream at that moment."""
    leaders: int
    """Different brokers that were killed as leader."""
    asked_again: int
    """Submits that were answered UNAVAILABLE first."""
    longest_gap_seconds: float
    """Between two acknowledgements, whoever heard them."""
    median_gap_seconds: float
    """Of the longest one around each kill."""
    acked_a_second: float

    @property
    def kept(self) -> bool:
        """Whether nothing that was acknowledged is missing or there twice."""
        return not self.lost and not self.doubled and self.kills > 0


class Callers:
    """Submit jobs, by `JobQueue` as the services do, until there are enough."""

    def __init__(self, plan: ClusterPlan, on_ack: OnAck) -> None:
        self._numbers = iter(range(plan.publishes))
        self._on_ack = on_ack
        self.acked: list[str] = []
        self.acked_at: list[float] = []
        self.asked_again = 0
        self._dice = random.Random(1)

    async def submit_all(self, queue: JobQueue) -> None:
        """One caller: the next job when the last one is accepted."""
        for number in self._numbers:
            self.acked.append(await self._submit(queue, number))
            self.acked_at.append(time.monotonic())
            self._on_ack(len(self.acked))

    async def _submit(self, queue: JobQueue, number: int) -> str:
        while True:
            try:
                job = await queue.submit(
                    kind="train",
                    prefix="ftjob",
                    tenant="chaos",
                    requested_by="chaos",
                    idempotency_key=str(number),
                    spec=Struct(),
                )
            except UnavailableError:
                self.asked_again += 1
                await asyncio.sleep(self._dice.uniform(0.0, MOST_RETRY_SECONDS))
            else:
                return job.job_id

    def gaps(self, since: float = 0.0, until: float = float("inf")) -> list[float]:
        """Seconds between one acknowledgement and the next, of those that end in that time."""
        pairs = zip(self.acked_at, self.acked_at[1:], strict=False)
        return [later - earlier for earlier, later in pairs if since <= later <= until]


class LeaderKiller:
    """Kills whoever leads JOBS, and brings it back."""

    def __init__(self, cluster: NatsCluster, js: JetStreamContext) -> None:
        self._cluster = cluster
        self._js = js
        self._dice = random.Random(1)
        self.killed: list[tuple[str, float]] = []
        """Names and when."""

    async def kill(self) -> None:
        """Once the three agree again, SIGKILL the leader."""
        name = (await self._whole_cluster()).leader
        self._cluster.servers[name].kill()
        self.killed.append((name, time.monotonic()))

    async def bring_back(self) -> None:
        """Start the last one again on its store, a moment later."""
        await asyncio.sleep(self._dice.uniform(*DOWN_SECONDS))
        await self._cluster.servers[self.killed[-1][0]].start()

    async def _whole_cluster(self) -> Any:
        """The stream's leader and followers, once all followers have everything."""
        while True:
            try:
                cluster: Any = (await self._js.stream_info(STREAM)).cluster
            except (NatsError, TimeoutError):
                cluster = None
            if cluster and cluster.leader and self._all_current(cluster.replicas or []):
                return cluster
            await asyncio.sleep(LOOK_SECONDS)

    def _all_current(self, followers: Sequence[Any]) -> bool:
        here = [each for each in followers if each.current and not each.offline]
        return len(here) == len(self._cluster.servers) - 1


async def kill_leaders(
    folder: Path, plan: ClusterPlan, on_ack: OnAck = lambda _acked: None
) -> LeaderKills:
    """Run it in an empty folder.

    Raises:
        TimeoutError: it took five minutes.
    """
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        run_nats_cluster(folder) as cluster,
        _connected(cluster, plan) as (buses, js),
    ):
        killer = LeaderKiller(cluster, js)
        due = asyncio.Semaphore(0)
        every = plan.publishes // (plan.kills + 1)

        def tell(acked: int) -> None:
            if acked % every == 0:
                due.release()
            on_ack(acked)

        async def rage() -> None:
            for _ in range(plan.kills):
                await due.acquire()
                await killer.kill()
                await killer.bring_back()

        callers, began = Callers(plan, tell), time.monotonic()
        queues = [JobQueue(buses[number % len(buses)]) for number in range(plan.callers)]
        await asyncio.gather(rage(), *(callers.submit_all(queue) for queue in queues))
        seconds = time.monotonic() - began
        # What was acknowledged must be on two of three disks: read it from the other two.
        await killer.kill()
        stored = Counter([each.body.job_id async for each in buses[0].replay(REQUESTS)])
    return _outcome(callers, killer, stored, seconds)


def _outcome(
    callers: Callers, killer: LeaderKiller, stored: Counter[str], seconds: float
) -> LeaderKills:
    around = [_longest_after(callers, at) for _, at in killer.killed[:-1]]
    return LeaderKills(
        acked=len(callers.acked),
        lost=sum(job_id not in stored for job_id in callers.acked),
        doubled=sum(count - 1 for count in stored.values()),
        kills=len(killer.killed),
        leaders=len({name for name, _ in killer.killed}),
        asked_again=callers.asked_again,
        longest_gap_seconds=round(max(callers.gaps()), 2),
        median_gap_seconds=round(sorted(around)[len(around) // 2], 2),
        acked_a_second=round(len(callers.acked) / seconds, 1),
    )


def _longest_after(callers: Callers, killed_at: float) -> float:
    """The longest gap that ends within a while after a kill."""
    return max(callers.gaps(killed_at, killed_at + 15.0), default=0.0)


@asynccontextmanager
async def _connected(
    cluster: NatsCluster, plan: ClusterPlan
) -> AsyncIterator[tuple[list[Bus], JetStreamContext]]:
    """Buses for the callers, and a connection that asks who leads."""
    async with AsyncExitStack() as stack:
        buses = [
            await stack.enter_async_context(
                Bus.connect(cluster.url, cluster.token, name="chaos", replicas=3)
            )
            for _ in range(plan.connections)
        ]
        watcher = await nats.connect(
            cluster.url.split(","),
            token=cluster.token,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.2,
            error_cb=_expected,
        )
        stack.push_async_callback(watcher.close)
        yield buses, watcher.jetstream(timeout=1)


async def _expected(_error: Exception) -> None:
    """The brokers go away: that is what this is about."""
