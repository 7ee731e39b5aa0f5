"""Ranks compute together: who has fewer passes than others makes up for it with empty ones.

Where weights are divided, a forward pass gathers them from all ranks, and a backward pass adds up
gradients of all. A rank that skipped one would leave the others waiting for ever.
"""

from collections.abc import Callable, Iterator

from torch import Tensor

from modelmill_trainer.training.distributed.ranks import Ranks

Losses = Callable[[], Iterator[Tensor]]


class _AllDone(Exception):  # noqa: N818 - not a fault
    """No rank has a pass left."""


class Pace:
    """Keeps the passes of the ranks of a run in step.

    An objective has to make every loss of the same passes, however many losses it makes.
    """

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._busy = False
        self._together = False

    def kept(self, own: Iterator[Tensor], filler: Losses) -> Iterator[Tensor]:
        """The losses of this rank, then as many of weight 0 as others have more.

        Args:
            own: Each is computed when it is asked for, and its backward pass follows.
            filler: Losses that can always be computed; of what, is no matter.
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

    def meet(self) -> None:
        """To be called before each forward pass. Outside `kept` ranks make the same ones."""
        if self._together and not self._ranks.any(self._busy):
            raise _AllDone
