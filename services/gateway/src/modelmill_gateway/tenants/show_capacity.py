"""Use case: what each part of an installation could take, and what it takes now."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_QUEUED, JOB_STATUS_RUNNING
from modelmill_bus.bus import Bus
from modelmill_bus.kinds import OWNER_OF
from modelmill_bus.permissions import streams_of
from modelmill_bus.streams import StreamUsage
from modelmill_job_index.index import JobIndex
from modelmill_service_kit.errors import UnavailableError

from modelmill_gateway.domain.admission import Admission
from modelmill_gateway.domain.capacity import (
    InferenceReplica,
    QueueCapacity,
    WorkingProcess,
    queue_capacity,
)

OF_REPLICAS = (
    "replicas behind one address: of several one answers, and the next request may ask another"
)
BROKER_DISK = (
    "free disk of the message broker: it tells that to its administrators alone "
    "(nats server report jetstream)"
)
BROKER_AWAY = "streams of the message broker: it does not answer"


class AsksProcess(Protocol):
    """See `modelmill_gateway.adapters.capacity.GrpcWorkers`."""

    async def __call__(self) -> WorkingProcess: ...


class AsksReplica(Protocol):
    """See `modelmill_gateway.adapters.capacity.GrpcReplica`."""

    async def __call__(self) -> InferenceReplica: ...


@dataclass(frozen=True)
class InstallationCapacity:
    """All of it, as one gateway sees it."""

    queues: Sequence[QueueCapacity]
    processes: Sequence[WorkingProcess]
    replicas: Sequence[InferenceReplica]
    streams: Sequence[StreamUsage]
    """Empty while the bus is away."""
    waiting_requests: int
    tokens_in_hand: int
    """Of the answers that this gateway's process has admitted, at most."""
    tokens_limit: int
    """0 where nothing limits them."""
    unknown: Sequence[str]
    """What nobody here can know, and why."""


class ShowCapacity:
    """Asks every address at once; one that hangs costs its own time limit."""

    def __init__(
        self,
        bus: Bus,
        jobs: JobIndex,
        processes: Sequence[AsksProcess],
        replicas: Sequence[AsksReplica],
        admission: Admission,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._bus = bus
        self._jobs = jobs
        self._processes = processes
        self._replicas = replicas
        self._admission = admission
        self._now = now

    async def __call__(self) -> InstallationCapacity:
        """The capacity now; nothing of it raises."""
        processes, replicas, streams = await asyncio.gather(
            asyncio.gather(*(ask() for ask in self._processes)),
            asyncio.gather(*(ask() for ask in self._replicas)),
            self._streams(),
        )
        return InstallationCapacity(
            queues=self._queues(processes),
            processes=processes,
            replicas=replicas,
            streams=streams,
            waiting_requests=self._admission.waiting,
            tokens_in_hand=self._admission.tokens,
            tokens_limit=self._admission.limit,
            unknown=[OF_REPLICAS, BROKER_DISK, *([] if streams else [BROKER_AWAY])],
        )

    async def _streams(self) -> Sequence[StreamUsage]:
        try:
            return [await self._bus.facts(name) for name in streams_of("gateway")]
        except UnavailableError:
            return []

    def _queues(self, processes: Sequence[WorkingProcess]) -> Sequence[QueueCapacity]:
        counts = Counter((each.kind, each.status) for each in self._jobs.standings())
        workers = [each.worker for each in processes if each.worker is not None]
        return [
            queue_capacity(
                kind,
                waiting=counts[kind, JOB_STATUS_QUEUED],
                running=counts[kind, JOB_STATUS_RUNNING],
                workers=workers,
                starts_in=self._starts_in(kind),
            )
            for kind in OWNER_OF
        ]

    def _starts_in(self, kind: str) -> float | None:
        start = self._jobs.next_start(kind)
        if start is None:
            return None
        return max(0.0, (start.replace(tzinfo=UTC) - self._now()).total_seconds())
