"""Collective operations that the training loop needs."""

from pathlib import Path
from typing import Protocol

CHECKPOINT = "checkpoint"


class Ranks(Protocol):
    """The process group of a run. Every rank must make the same calls in the same order."""

    @property
    def size(self) -> int:
        """World size."""
        ...

    @property
    def is_leader(self) -> bool:
        """Whether this is rank 0, which commits checkpoints and the model."""
        ...

    def any(self, flag: bool) -> bool:
        """Logical or over the ranks."""
        ...

    def total(self, number: float) -> float:
        """Sum over the ranks, bit-identical in each."""
        ...

    def wait(self) -> None:
        """Barrier."""
        ...

    def checkpoint_in(self, folder: Path) -> Path:
        """Checkpoint folder of the run, given this process' scratch folder."""
        ...

    def rank_folder_in(self, checkpoint: Path) -> Path:
        """This rank's folder in a checkpoint; its parents are created."""
        ...


class SingleRank:
    """`Ranks` of a single-process run."""

    is_leader = True
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

    def rank_folder_in(self, checkpoint: Path) -> Path:
        """See `Ranks`."""
        return checkpoint
