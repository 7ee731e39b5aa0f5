"""Jobs that a bench orders: each once, found again, and followed to its end."""

import itertools
import time
from collections.abc import Callable
from typing import Any

from modelmill_cli.errors import WorkFailedError
from modelmill_cli.job_words import Job
from modelmill_client import JobFailedError, Modelmill

from tests.bench.methods.ledger import digest_of

Watch = Callable[[str, str], Job]
"""Follows the job of an id under a title; see `modelmill_cli.job_watch.watch_job`."""

RUN_AGAIN = frozenset({"paused", "failed"})
UNDER_WAY = frozenset({"queued", "running"})
POLL_SECONDS = 0.5
APPEAR_SECONDS = 60.0
"""What a job makes is announced after its success, and is listed a moment later."""


class Jobs:
    """Orders and follows. The same order is the same job, also of a bench that was killed."""

    def __init__(self, client: Modelmill, watch: Watch) -> None:
        self._client = client
        self._watch = watch

    def ordered(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to an order.

        One that failed or was paused is run again, and one that was cancelled, which is final, is
        ordered once more.
        """
        key = f"bench-{digest_of([path, body])}"
        for attempt in itertools.count():
            once = f"{key}-{attempt}" if attempt else key
            accepted: dict[str, Any] = self._client.request(
                "POST", path, json=body, idempotency_key=once
            )
            job_id = job_of(accepted)
            status = self._client.jobs.retrieve(job_id)["status"]
            if status != "cancelled":
                break
        if status in RUN_AGAIN:
            self._client.jobs.resume(job_id)
        return accepted

    def ended(self, job_id: str, title: str) -> Job:
        """The job's record, once it has succeeded.

        Raises:
            JobFailedError: it failed or was cancelled.
        """
        try:
            return self._watch(job_id, title)
        except JobFailedError:
            # The events of a job that was run again tell of its first end, too.
            if self._client.jobs.retrieve(job_id)["status"] not in UNDER_WAY:
                raise
        while (job := self._client.jobs.retrieve(job_id))["status"] in UNDER_WAY:
            time.sleep(POLL_SECONDS)
        return job if job["status"] == "succeeded" else self._watch(job_id, title)

    def appeared(self, what: str, is_there: Callable[[], bool]) -> None:
        """Wait until something that was made is listed."""
        deadline = time.monotonic() + APPEAR_SECONDS
        while not is_there():
            if time.monotonic() > deadline:
                raise WorkFailedError(f"{what} was made and is not listed. Run the bench again")
            time.sleep(POLL_SECONDS)


def job_of(accepted: dict[str, Any]) -> str:
    """The job's id: of a dataset beside its own, else what the order answers."""
    return str(accepted.get("job_id") or accepted["id"])
