"""Keeps the number of forward and backward passes equal in all ranks.

With ZeRO-3 a forward pass gathers weights from all ranks, and a backward pass reduces gradients. A
rank with fewer passes would block the others for ever, so it adds passes of weight 0.
"""

from collections.abc import Callable, Iterator

from torch import Tensor

from modelmill_trainer.training.distributed.ranks import Ranks

Losses = Callable[[], Iterator[Tensor]]


class _AllDone(Exception):  # noqa: N818 - not a fault
    """All ranks have finished their passes."""


class PassSynchronizer:
    """Pads the passes of this rank to the number of the busiest rank.

    An objective must use the same number of passes for each of its losses.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._busy = False
        self._together = False

    def padded(self, own: Iterator[Tensor], filler: Losses) -> Iterator[Tensor]:
        """The losses of this rank, padded with losses of weight 0.

        Args:
            own: Lazily computed losses; the caller runs backward after each.
            filler: Losses for padding; their content is irrelevant.
        """
        self._busy = self._together = True
        yield from own
        self._busy = False
        while True:
            losses = filler()
            try:
                loss = next(losses)
            except _AllDone:
                break
            yield loss * 0.0
        self._together = False

    def synchronize(self) -> None:
        """Call before each forward pass. Outside `padded` all ranks make the same passes."""
        if self._together and not self._ranks.any(self._busy):
            raise _AllDone
