"""Submission of jobs: idempotent, and durable before the call returns."""

import asyncio
import hashlib
import json
from dataclasses import dataclass

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.jobs.v1.job_pb2 import (
    JOB_PRIORITY_NORMAL,
    JobPriority,
    JobRequested,
)
from modelmill_bus import kinds
from modelmill_bus.bus import Bus
from modelmill_bus.errors import BrokerDiskFullError, StaleWriteError, StreamFullError
from modelmill_bus.subjects import job_requested
from modelmill_service_kit.errors import (
    AlreadyExistsError,
    InvalidInputError,
    UnavailableError,
)
from modelmill_service_kit.machine_size import MachineSize

from modelmill_jobs.sizes import as_resources

SUBMIT_SECONDS = 3.5
FULL = 0.8
"""Share of the JOBS stream beyond which no job is taken, so that running ones can still end."""


@dataclass(frozen=True)
class SubmittedJob:
    """A job that the stream holds."""

    job_id: str
    sequence: int
    """Of its request in JOBS; wait for it in `JobIndex` to read your own write."""
    created: bool
    """False when the same request had been accepted before."""


class JobQueue:
    """Queue of validated jobs of the owning service."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def submit(
        self,
        *,
        kind: str,
        prefix: str,
        tenant: str,
        requested_by: str,
        idempotency_key: str,
        spec: Message,
        priority: JobPriority.ValueType = JOB_PRIORITY_NORMAL,
        needs: MachineSize | None = None,
        expected_seconds: float = 0.0,
    ) -> SubmittedJob:
        """Store the job, or find the one that the same key stands for.

        Args:
            prefix: of the id, for example "ftjob".
            requested_by: subject claim of the caller, or the service that asks.
            idempotency_key: never expires; empty for a job of its own each time.
            spec: validated; read back with `ActiveJob.spec`.
            priority: among the tenant's own jobs. Like what follows it is no part of what the key
                stands for: a repeat finds the first job with what that one was given.
            needs: only workers that have as much claim it; None for nothing in particular.
            expected_seconds: at most, to its owner's knowledge; 0 when nothing is known.

        Raises:
            AlreadyExistsError: the key was used for another spec.
            UnavailableError: not known to be stored within 3.5 s; ask again with the same key. Or,
                as STREAM_FULL, the JOBS stream is nearly full; the message says what to do.
            InvalidInputError: kind, tenant or prefix is no token of a subject, or no such priority.
        """
        job_id = kinds.job_id(prefix, tenant=tenant, kind=kind, idempotency_key=idempotency_key)
        request = _request(spec, job_id, kind, tenant, requested_by)
        _place(request, priority, needs, expected_seconds)
        try:
            async with asyncio.timeout(SUBMIT_SECONDS):
                return await self._store(job_requested(kind, tenant, job_id), request)
        except TimeoutError as error:
            raise UnavailableError("the job queue does not answer") from error

    async def _store(self, subject: str, request: JobRequested) -> SubmittedJob:
        facts = await self._bus.facts("JOBS")
        if facts.fill >= FULL:
            full = UnavailableError(facts.refusal(FULL), retry_after_seconds=60.0)
            raise full.because(StreamFullError.reason)
        try:
            sequence = await self._create(subject, request)
        except StaleWriteError:
            return await self._existing(subject, request)
        return SubmittedJob(request.job_id, sequence, created=True)

    async def _create(self, subject: str, request: JobRequested) -> int:
        try:
            return await self._bus.publish(subject, request, expect_last=0)
        except BrokerDiskFullError:
            raise
        except UnavailableError:
            # Stored or not, nobody knows; the same create again settles it either way.
            return await self._bus.publish(subject, request, expect_last=0)

    async def _existing(self, subject: str, request: JobRequested) -> SubmittedJob:
        stored = await self._bus.last(subject, JobRequested)
        if stored is None:
            raise UnavailableError("the job queue changed at the same time. Retry")
        if stored.body.spec_sha256 != request.spec_sha256:
            raise AlreadyExistsError(
                f"the idempotency key of job {request.job_id} was used for another request"
            )
        # Equal to the last nanosecond: what conflicts is this very call's first try.
        created = stored.body.requested_at == request.requested_at
        return SubmittedJob(request.job_id, stored.sequence, created)


def _place(
    request: JobRequested,
    priority: JobPriority.ValueType,
    needs: MachineSize | None,
    expected_seconds: float,
) -> None:
    """Write what decides when and where it runs."""
    request.expected_seconds = expected_seconds
    if priority not in JobPriority.values():
        raise InvalidInputError("priority must be LOW, NORMAL or HIGH")
    request.priority = priority or JOB_PRIORITY_NORMAL
    if needs is not None:
        request.needs.CopyFrom(as_resources(needs))


def _request(spec: Message, job_id: str, kind: str, tenant: str, requested_by: str) -> JobRequested:
    fields = json_format.MessageToDict(spec, preserving_proto_field_name=True)
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    struct = Struct()
    struct.update(fields)
    now = Timestamp()
    now.GetCurrentTime()
    return JobRequested(
        job_id=job_id,
        kind=kind,
        tenant=tenant,
        requested_by=requested_by,
        spec_type=spec.DESCRIPTOR.full_name,
        spec=struct,
        spec_sha256=hashlib.sha256(
            f"{spec.DESCRIPTOR.full_name}\0{canonical}".encode()
        ).hexdigest(),
        requested_at=now,
    )
