"""Launcher interface: starts the ranks of a distributed run."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from modelmill_trainer.domain.distribution import Distribution

DISCONNECTED: dict[str, Any] = {"type": "gone"}
"""Message that stands for a closed connection."""


@dataclass(frozen=True)
class Launch:
    """What to start."""

    request: Mapping[str, Any]
    """TrainRequest of every rank."""
    distribution: Distribution
    folder: Path
    """Scratch folder of the run; rank n uses `rank-n` below it."""


class Rank(Protocol):
    """A rank that has connected."""

    @property
    def number(self) -> int:
        """Rank number; 0 is the leader."""
        ...

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; it is dropped if the rank has ended."""
        ...

    def stop(self) -> None:
        """Ask the rank to save and stop."""
        ...


class RunningRanks(Protocol):
    """Handle of the started ranks."""

    @property
    def connected(self) -> list[Rank]:
        """Ranks that have connected."""
        ...

    def receive(self, seconds: float) -> tuple[Rank, dict[str, Any]] | None:
        """The next message of a rank, in the protocol of `modelmill_jobs.child`; None after a
        timeout."""
        ...

    def end_reason(self) -> str | None:
        """Why torchrun or the TrainJob ended; None while it runs."""
        ...


class Launcher(Protocol):
    """Starts ranks."""

    def started(self, launch: Launch) -> AbstractContextManager[RunningRanks]:
        """Start ranks; leaving the block in any way ends all of them."""
        ...
