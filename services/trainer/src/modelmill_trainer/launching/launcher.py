"""What starts the ranks of a run, wherever they are."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from modelmill_trainer.domain.distribution import Distribution

GONE: dict[str, Any] = {"type": "gone"}
"""What is heard of a rank that will say nothing more."""


@dataclass(frozen=True)
class Launch:
    """Ranks to be started."""

    request: Mapping[str, Any]
    """What each of them is asked to do (a TrainRequest)."""
    distribution: Distribution
    folder: Path
    """Scratch of the run; rank n gets `rank-n` in it."""


class Rank(Protocol):
    """A rank that has reported."""

    @property
    def number(self) -> int:
        """From 0; 0 leads."""
        ...

    def send(self, message: Mapping[str, Any]) -> None:
        """Tell it something; a rank that is gone hears nothing."""
        ...

    def stop(self) -> None:
        """Ask it to save and stop."""
        ...


class RunningRanks(Protocol):
    """The ranks of a run, from when they were started."""

    @property
    def reported(self) -> list[Rank]:
        """Those that can be told something."""
        ...

    def heard(self, seconds: float) -> tuple[Rank, dict[str, Any]] | None:
        """The next thing that a rank says, in the words of `modelmill_jobs.child`; None when none
        does."""
        ...

    def ended(self) -> str | None:
        """How what started them ended, in a few words; None while it runs."""
        ...


class Launcher(Protocol):
    """Starts ranks."""

    def started(self, launch: Launch) -> AbstractContextManager[RunningRanks]:
        """Start them; when the block ends, however it does, none of them is left."""
        ...
