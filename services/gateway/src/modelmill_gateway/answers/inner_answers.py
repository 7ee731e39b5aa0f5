"""Requests that a job makes in its caller's name, and what they are answered with."""

from dataclasses import dataclass
from typing import Any, Protocol

from modelmill_gateway.domain.access import Caller


@dataclass(frozen=True)
class InnerRequest:
    """One request of a job."""

    custom_id: str
    """Which of the job's it is; no two have the same."""
    path: str
    body: bytes


@dataclass(frozen=True)
class InnerAnswer:
    """What a client would have got."""

    status: int
    request_id: str
    body: Any
    """JSON; None where there was none."""
    retry_after: float
    """Seconds; 0 when nothing was said of it."""


class AnswersRequests(Protocol):
    """See `modelmill_gateway.entrypoints.in_process_client.InProcessClient`."""

    async def __call__(self, path: str, body: bytes, caller: Caller) -> InnerAnswer: ...
