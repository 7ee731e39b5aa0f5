"""How many jobs of one tenant may wait; who asks for more is told what to do."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from modelmill_bus import ids
from modelmill_bus.kinds import prefix_of
from modelmill_job_index.index import JobRecord
from modelmill_service_kit.errors import NotFoundError, OverloadedError

RETRY_SECONDS = 30.0


class Jobs(Protocol):
    """The list of jobs."""

    def get(self, tenant: str, job_id: str) -> JobRecord: ...
    def waiting_of(self, tenant: str) -> int: ...


class PendingJobQuota:
    """A place for each job that comes, until the list of jobs counts it.

    Exact in one gateway. Several of them let in what they are asked for at the same moment.

    Args:
        most: jobs of one tenant that may wait; 0 for any number.
    """

    def __init__(self, jobs: Jobs, most: int) -> None:
        self._jobs = jobs
        self._most = most
        self._coming: Counter[str] = Counter()

    @contextmanager
    def place(self, tenant: str, kind: str, idempotency_key: str) -> Iterator[None]:
        """Held while a job is ordered; a repeat of one that was accepted needs none.

        Raises:
            OverloadedError: as many wait as may.
        """
        if not self._most or self._is_repeat(tenant, kind, idempotency_key):
            yield
            return
        waiting = self._jobs.waiting_of(tenant) + self._coming[tenant]
        if waiting >= self._most:
            raise _full(waiting, self._most)
        self._coming[tenant] += 1
        try:
            yield
        finally:
            self._coming[tenant] -= 1

    def _is_repeat(self, tenant: str, kind: str, idempotency_key: str) -> bool:
        if not idempotency_key:
            return False
        job_id = ids.job_id(
            prefix_of(kind), tenant=tenant, kind=kind, idempotency_key=idempotency_key
        )
        try:
            self._jobs.get(tenant, job_id)
        except NotFoundError:
            return False
        return True


def _full(waiting: int, most: int) -> OverloadedError:
    error = OverloadedError(
        f"{waiting} jobs of yours wait already, and {most} may. Cancel one of them or ask again"
        " when one has begun",
        retry_after_seconds=RETRY_SECONDS,
    )
    return error.because("TOO_MANY_WAITING")
