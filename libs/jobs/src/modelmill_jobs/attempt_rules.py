"""What is alike for all attempts of a worker."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

AfterSuccess = Callable[[str], Awaitable[None]]
"""Told the id of a job that has succeeded; after it raised, it is told again."""


@dataclass(frozen=True)
class AttemptRules:
    """`Worker` says what each is."""

    claim_seconds: float
    max_failures: int
    retry_seconds: float
    after_commit: Callable[[], None]
    after_success: AfterSuccess


async def nothing_left(_job_id: str) -> None:
    """For jobs that leave nothing behind."""
