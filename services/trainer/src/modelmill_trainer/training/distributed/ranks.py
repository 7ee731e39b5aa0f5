"""What the training loop asks of the processes that a run is divided among."""

from pathlib import Path
from typing import Protocol

CHECKPOINT = "checkpoint"


class Ranks(Protocol):
    """The processes of a run. Every rank makes the same calls in the same order."""

    @property
    def size(self) -> int:
        """How many they are."""
        ...

    @property
    def leads(self) -> bool:
        """Whether this process is the one that hands over checkpoints and the model."""
        ...

    def any(self, flag: bool) -> bool:
        """Whether a rank said True."""
        ...

    def total(self, number: float) -> float:
        """The sum over the ranks, the same bits in each."""
        ...

    def wait(self) -> None:
        """Return once every rank has come here."""
        ...

    def checkpoint_in(self, folder: Path) -> Path:
        """Where the run's checkpoint is written, given the scratch folder of this process."""
        ...

    def part_of(self, checkpoint: Path) -> Path:
        """This rank's own part of a checkpoint; the folders above it are there."""
        ...


class OneRank:
    """A run in a single process."""

    leads = True
    size = 1

    def any(self, flag: bool) -> bool:
        """See `Ranks`."""
        return flag

    def total(self, number: float) -> float:
        """See `Ranks`."""
        return number

    def wait(self) -> None:
        """See `Ranks`."""

    def checkpoint_in(self, folder: Path) -> Path:
        """See `Ranks`."""
        return folder / CHECKPOINT

    def part_of(self, checkpoint: Path) -> Path:
        """See `Ranks`."""
        return checkpoint
