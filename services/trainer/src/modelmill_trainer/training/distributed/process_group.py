"""`Ranks` on torch.distributed."""

import os
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as collectives

from modelmill_trainer.training.distributed.process_names import rank_folder
from modelmill_trainer.training.distributed.ranks import CHECKPOINT

PATIENCE = timedelta(days=7)
"""Collective timeout, effectively none: the worker detects a hang by missing reports."""


class RankGroup:
    """The torch process group that torchrun set up.

    Numbers are summed in rank order, so that results are bit-identical in every run.
    """

    def __init__(self) -> None:
        self.rank = int(os.environ["RANK"])
        self.size = int(os.environ["WORLD_SIZE"])
        backend = "gloo"
        if torch.cuda.is_available():
            backend = "nccl"
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        collectives.init_process_group(backend, timeout=PATIENCE)
        # Flags and sums are CPU tensors, whatever device the model uses.
        self._gloo_group = collectives.new_group(backend="gloo", timeout=PATIENCE)

    @property
    def is_leader(self) -> bool:
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
        """See `Ranks`; the ranks' scratch folders are siblings."""
        return folder.parent / CHECKPOINT

    def rank_folder_in(self, checkpoint: Path) -> Path:
        """See `Ranks`."""
        checkpoint.mkdir(exist_ok=True)
        return checkpoint / rank_folder(self.rank)

    def all_reduce_disjoint(self, tensor: torch.Tensor) -> None:
        """All-reduce a tensor of which each element is non-zero in at most one rank.

        Args:
            tensor: float32 CPU tensor of the same shape in every rank; changed in place.
        """
        # Summed as integers: adding floats would lose the sign of -0.0.
        collectives.all_reduce(tensor.view(torch.int32), group=self._gloo_group)

    def close(self) -> None:
        """Destroy the process group; no call may follow."""
        collectives.destroy_process_group()

    def _gather(self, number: float) -> list[float]:
        gathered = torch.empty(self.size, dtype=torch.float64)
        own = torch.tensor([number], dtype=torch.float64)
        collectives.all_gather_into_tensor(gathered, own, group=self._gloo_group)
        return gathered.tolist()
