"""Jobs that a bench orders: each once, found again, and followed to its end."""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from modelmill_cli.errors import JobEndedBadlyError, WorkFailedError

from tests.bench.methods.ledger import digest_of

Job = dict[str, Any]
Watch = Callable[[str, str], Job]
"""Follows the job of an id under a title; see `modelmill_cli.job_watch.watch_job`."""

RUN_AGAIN = frozenset({"paused", "failed"})
UNDER_WAY = frozenset({"queued", "running"})
POLL_SECONDS = 0.5
APPEAR_SECONDS = 60.0
"""What a job makes is announced after its success, and is listed a moment later."""


class Gateway(Protocol):
    """The part of `modelmill_cli.gateway_client.GatewayClient` that a bench needs."""

    def get(self, path: str, **parameters: Any) -> Any: ...

    def post(self, path: str, body: Any, *, headers: dict[str, str] | None = None) -> Any: ...

    def upload(self, file: Path, *, purpose: str = ...) -> Any: ...

    def download(self, path: str, target: Path, **parameters: Any) -> None: ...


class Jobs:
    """Orders and follows. The same order is the same job, also of a bench that was killed."""

    def __init__(self, gateway: Gateway, watch: Watch) -> None:
        self._gateway = gateway
        self._watch = watch

    def ordered(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to an order.

        One that failed or was paused is run again, and one that was cancelled, which is final, is
        ordered once more.
        """
        key = f"bench-{digest_of([path, body])}"
        for attempt in itertools.count():
            headers = {"idempotency-key": f"{key}-{attempt}" if attempt else key}
            accepted: dict[str, Any] = self._gateway.post(path, body, headers=headers)
            job_id = job_of(accepted)
            status = self._gateway.get(f"/v1/jobs/{job_id}")["status"]
            if status != "cancelled":
                break
        if status in RUN_AGAIN:
            self._gateway.post(f"/v1/jobs/{job_id}/resume", {})
        return accepted

    def ended(self, job_id: str, title: str) -> Job:
        """The job's record, once it has succeeded.

        Raises:
            JobEndedBadlyError: it failed or was cancelled.
        """
        try:
            return self._watch(job_id, title)
        except JobEndedBadlyError:
            # The events of a job that was run again tell of its first end, too.
            if self._gateway.get(f"/v1/jobs/{job_id}")["status"] not in UNDER_WAY:
                raise
        while (job := self._gateway.get(f"/v1/jobs/{job_id}"))["status"] in UNDER_WAY:
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
