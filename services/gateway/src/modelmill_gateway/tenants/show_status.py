"""Status of an installation: which services answer, in which version, and what waits."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Protocol

from modelmill.jobs.v1.job_pb2 import JOB_STATUS_QUEUED
from modelmill_bus.bus import Bus
from modelmill_bus.permissions import streams_of
from modelmill_bus.streams import StreamUsage
from modelmill_job_index.entry import HeldJob
from modelmill_job_index.index import JobIndex
from modelmill_jobs.job_status import status_word
from modelmill_service_kit.errors import UnavailableError

from modelmill_gateway.domain.admission import Admission
from modelmill_gateway.ports import ServiceStatus

PACKAGE = "modelmill-service-kit"
"""Whose version is that of all services of a release."""


class Probe(Protocol):
    """See `modelmill_gateway.adapters.peers.HealthProbe`."""

    async def __call__(self) -> ServiceStatus: ...


@dataclass(frozen=True)
class KindStatus:
    """Jobs of one kind."""

    kind: str
    counts: Mapping[str, int]
    """By status."""
    oldest_seconds: float
    """How long the one waits that waits longest; 0 when none does."""


@dataclass(frozen=True)
class InstallationStatus:
    """All of it, as one gateway sees it."""

    version: str
    services: Sequence[ServiceStatus]
    jobs: Sequence[KindStatus]
    workers: Sequence[HeldJob]
    """Who works on what, by worker."""
    streams: Sequence[StreamUsage]
    """Empty while the bus is away."""
    waiting_requests: int
    tokens_in_hand: int
    """Of the answers that this gateway's process has admitted, at most."""
    tokens_limit: int
    """0 where nothing limits them."""


class ShowStatus:
    """Asks every peer at once; one that hangs costs its own time limit."""

    def __init__(
        self,
        bus: Bus,
        jobs: JobIndex,
        probes: Sequence[Probe],
        admission: Admission,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._bus = bus
        self._jobs = jobs
        self._probes = probes
        self._admission = admission
        self._now = now

    async def __call__(self) -> InstallationStatus:
        """The status now; nothing of it raises."""
        services, streams = await asyncio.gather(
            asyncio.gather(*(probe() for probe in self._probes)), self._streams()
        )
        return InstallationStatus(
            version=version(PACKAGE),
            services=services,
            jobs=self._kinds(),
            workers=sorted(self._jobs.held_jobs(), key=lambda each: (each.worker, each.job_id)),
            streams=streams,
            waiting_requests=self._admission.waiting,
            tokens_in_hand=self._admission.tokens,
            tokens_limit=self._admission.limit,
        )

    async def _streams(self) -> Sequence[StreamUsage]:
        try:
            return [await self._bus.facts(name) for name in streams_of("gateway")]
        except UnavailableError:
            return []

    def _kinds(self) -> Sequence[KindStatus]:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        oldest: dict[str, float] = defaultdict(float)
        for each in self._jobs.standings():
            counts[each.kind][status_word(each.status)] += 1
            if each.status == JOB_STATUS_QUEUED:
                waited = self._now() - each.since.ToNanoseconds() / 1e9
                oldest[each.kind] = max(oldest[each.kind], waited)
        return [KindStatus(kind, counts[kind], oldest[kind]) for kind in sorted(counts)]
