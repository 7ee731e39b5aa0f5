"""When a waiting job's turn comes, as its owner is told."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Turn:
    """What is known of a job's turn; nothing of a job that does not wait."""

    position: int | None = None
    """1 is next among the jobs of its kind."""
    starts_at: datetime | None = None
    """UTC, without a zone; None while too little is known."""
    reason: str = ""
    """Why it waits for more than its turn; empty when it does not."""


NO_TURN = Turn()
"""Of a job that does not wait."""
