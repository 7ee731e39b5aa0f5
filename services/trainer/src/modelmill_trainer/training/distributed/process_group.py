"""The ranks of a run as a process group of torch's."""

import os
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as collectives

from modelmill_trainer.training.distributed.process_names import rank_folder
from modelmill_trainer.training.distributed.ranks import CHECKPOINT

PATIENCE = timedelta(days=7)
"""A rank that waits says nothing; the parent knows by the leader's reports whether a run hangs."""


class ProcessGroup:
    """This process among the ranks that torchrun started.

    Numbers are added up in the order of the ranks, so that the sum is the same in every run.
    """

    def __init__(self) -> None:
        self.rank = int(os.environ["RANK"])
        self.size = int(os.environ["WORLD_SIZE"])
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        collectives.init_process_group(backend, timeout=PATIENCE)
        # Flags and sums are on processors, whatever the model computes on.
        self._talk = collectives.new_group(backend="gloo", timeout=PATIENCE)

    @property
    def leads(self) -> bool:
        """See `Ranks`."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """See `Ranks`."""
        return any(self._gather(float(flag)))

    def total(self, number: float) -> float:
        """See `Ranks`."""
        return sum(self._gather(number))

    def wait(self) -> None:
        """See `Ranks`."""
        self._gather(0.0)

    def checkpoint_in(self, folder: Path) -> Path:
        """See `Ranks`; the scratch folders of the ranks lie beside each other."""
        return folder.parent / CHECKPOINT

    def part_of(self, checkpoint: Path) -> Path:
        """See `Ranks`."""
        checkpoint.mkdir(exist_ok=True)
        return checkpoint / rank_folder(self.rank)

    def add_up(self, tensor: torch.Tensor) -> None:
        """Each number becomes that of the one rank in which its bits are not all 0.

        Args:
            tensor: float32 on the processor, of the same shape in every rank; changed in place.
        """
        # As whole numbers: a sum of floats would lose the sign of a zero.
        collectives.all_reduce(tensor.view(torch.int32), group=self._talk)

    def close(self) -> None:
        """Leave; no call may follow."""
        collectives.destroy_process_group()

    def _gather(self, number: float) -> list[float]:
        said = torch.empty(self.size, dtype=torch.float64)
        own = torch.tensor([number], dtype=torch.float64)
        collectives.all_gather_into_tensor(said, own, group=self._talk)
        return said.tolist()
