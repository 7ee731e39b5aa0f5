"""Errors of the client: each is one line that says what is wrong and what to do."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelmill_client.types import Job

MAY_PASS = frozenset({429, 502, 503, 504})
"""Statuses after which the same call may succeed later."""


class ModelmillError(Exception):
    """What every error of the client is."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        """Cause and remedy, in one line."""


class SetupError(ModelmillError):
    """The client was not told what it needs: an address, a token, or an optional package."""


class ConnectionFailedError(ModelmillError):
    """The gateway did not answer, or its answer broke off."""

    def __init__(self, message: str, *, may_pass: bool = True) -> None:
        super().__init__(message)
        self.may_pass = may_pass
        """Whether the same call may succeed later."""


class ApiStatusError(ModelmillError):
    """The gateway refused; the message is its own, behind the call and the status."""

    def __init__(
        self,
        call: str,
        status: int,
        error: Mapping[str, Any],
        *,
        retry_after: float | None = None,
    ) -> None:
        said = str(error.get("message") or "no message")
        super().__init__(f"{call}: {status}: {said}")
        self.call = call
        """For example `GET /v1/files/file-1`."""
        self.status = status
        self.error = error
        """The gateway's `error` object, with all that it has; empty when the answer had none."""
        self.code: str | None = error.get("code")
        self.param: str | None = error.get("param")
        self.request_id: str | None = error.get("request_id")
        """Names the request in the gateway's log."""
        self.errors: tuple[str, ...] = tuple(error.get("errors") or ())
        """Everything that is wrong with the request, where the gateway lists it."""
        self.may_pass = status in MAY_PASS
        """Whether the same call may succeed later."""
        self.retry_after = retry_after
        """Seconds after which the gateway asks to come back."""


class JobFailedError(ModelmillError):
    """A job failed or was cancelled; the message has its own error and remedy."""

    def __init__(self, job: "Job") -> None:
        super().__init__(f"{job['kind']} job {job['id']}: {failure_of(job) or job['status']}")
        self.job = job


def failure_of(job: Mapping[str, Any]) -> str:
    """Why a job failed, and what to do about it; empty where it has not."""
    failure = job.get("error") or {}
    message, remedy = str(failure.get("message") or ""), str(failure.get("remedy") or "")
    return f"{message.rstrip('.')}. {remedy}" if message and remedy else message or remedy


class WaitTimeoutError(ModelmillError):
    """A job had not ended when the wait for it was over; the job goes on."""
