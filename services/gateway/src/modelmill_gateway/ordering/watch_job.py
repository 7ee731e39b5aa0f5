"""Tell what happened to a job and what happens, until it has ended.

Figures of a training job outlast the stream of events, which keeps them for an hour: afterwards
they come from what the job made, by the service that made it.
"""

import base64
import logging
import re
from collections.abc import AsyncIterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.protobuf.timestamp_pb2 import Timestamp
from modelmill.jobs.v1.job_pb2 import JOB_STATUS_SUCCEEDED, JobProgress
from modelmill.trainer.v1.trainer_service_pb2 import StepFigures
from modelmill_bus.kinds import TRAIN
from modelmill_job_index.entry import say_progress
from modelmill_job_index.history import PROGRESS
from modelmill_job_index.index import JobEvent, JobIndex, JobRecord, JobWatcher
from modelmill_service_kit.errors import DomainError, InvalidInputError, NotFoundError

from modelmill_gateway.domain.access import Caller
from modelmill_gateway.ports import Trainer

log = logging.getLogger(__name__)

STEP = "step"
"""Type of an event that was read back; its id is "step-<number>"."""


class WatchJob:
    """Stream of job events; however many watch, the bus is followed once."""

    def __init__(self, watcher: JobWatcher, jobs: JobIndex, trainer: Trainer) -> None:
        self._watcher = watcher
        self._jobs = jobs
        self._trainer = trainer

    async def __call__(
        self, caller: Caller, job_id: str, after: str | None
    ) -> AsyncIterator[JobEvent]:
        """Events of the job, oldest first; the last one is that it has ended.

        Args:
            after: id of the last event that the caller has seen; None begins at the beginning.

        Raises:
            NotFoundError: no such job, or another tenant's; on the first step, as all that follow.
            InvalidInputError: `after` is no event of the job.
            UnavailableError: the job or event is not known here, and the bus does not answer.
        """
        record = self._forgotten(caller.tenant, job_id)
        if record is not None and (not after or after.startswith(f"{STEP}-")):
            for event in _behind(after, await self.all_events(record)):
                yield event
            return
        async for event in self._watcher.watch(caller.tenant, job_id, after):
            yield event

    async def all_events(self, record: JobRecord) -> Sequence[JobEvent]:
        """What is kept of a job's events, oldest first."""
        if not _has_lost_figures(record):
            return record.events
        requested = record.requested
        try:
            steps = await self._trainer.step_figures(requested.tenant, requested.job_id)
        except DomainError as error:
            log.warning("the figures of job %s are not shown: %s", requested.job_id, error)
            return record.events
        at = record.state.updated_at
        # Nobody wrote down when each was measured: before the end, is all that is known.
        recalled = [_event_of(step, at) for step in steps]
        return (*record.events[:-1], *recalled, *record.events[-1:])

    def _forgotten(self, tenant: str, job_id: str) -> JobRecord | None:
        """The job if its figures must be read back."""
        try:
            record = self._jobs.get(tenant, job_id)
        except NotFoundError:
            return None  # the watcher looks again, and says so
        return record if _has_lost_figures(record) else None


def _has_lost_figures(record: JobRecord) -> bool:
    ended_well = record.requested.kind == TRAIN and record.state.status == JOB_STATUS_SUCCEEDED
    return ended_well and all(event.type != PROGRESS for event in record.events)


def _behind(after: str | None, events: Sequence[JobEvent]) -> Sequence[JobEvent]:
    if not after:
        return events
    for place, event in enumerate(events, 1):
        if event.id == after:
            return events[place:]
    raise InvalidInputError(f"after: no event {after[:80]!r} of this job")


def _event_of(step: StepFigures, at: Timestamp) -> JobEvent:
    body = JobProgress(phase="train", done=step.step, unit="step", metrics=step.metrics, at=at)
    body.eta_seconds = -1
    return JobEvent(step.step, at.ToDatetime(), STEP, say_progress(body), body)


PREFIX = "event-"
PADDED_CHARS = 48
"""All ids are as long as the longest one."""
_SEALED = re.compile(r"event-([A-Za-z0-9_-]{86})")
_COUNTED = re.compile(r"(state|progress)-.*")


class SealedEventIds:
    """Ids of a job's events as callers see them: those that carry a count are encrypted.

    The bus counts the events of all tenants together. An id must bring a reader back to its place,
    so it carries the count, and must not tell it: from two ids one could read how much others do.
    The same id is encrypted alike each time.

    Args:
        secret: what all gateways share, and nobody else: any of them goes on where another was.
    """

    def __init__(self, secret: str) -> None:
        derived = HKDF(SHA256(), length=32, salt=None, info=b"modelmill.gateway.event-ids")
        self._cipher = AESSIV(derived.derive(secret.encode()))

    def seal(self, job_id: str, event_id: str) -> str:
        """The id for callers."""
        if _COUNTED.fullmatch(event_id) is None:
            return event_id
        sealed = self._cipher.encrypt(event_id.ljust(PADDED_CHARS).encode(), [job_id.encode()])
        return PREFIX + base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def unseal(self, job_id: str, shown: str) -> str:
        """The id itself.

        Raises:
            InvalidInputError: it was not given out for an event of this job.
        """
        match = _SEALED.fullmatch(shown)
        if match is None:
            if _COUNTED.match(shown) is None:
                return shown
            raise _unknown(shown)
        sealed = base64.urlsafe_b64decode(match[1] + "==")
        try:
            return self._cipher.decrypt(sealed, [job_id.encode()]).decode().rstrip()
        except InvalidTag:
            raise _unknown(shown) from None


def _unknown(shown: str) -> InvalidInputError:
    return InvalidInputError(f"after: no event {shown[:80]!r} of this job")
