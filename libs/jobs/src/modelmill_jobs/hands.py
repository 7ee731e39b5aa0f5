"""What a worker has in hand, and whether it may take something more."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelmill_service_kit.machine_size import MachineSize

from modelmill_jobs.sizes import fits, left_of


class Hands:
    """Jobs that this worker claims or works on.

    Args:
        size: what it has for all of them together; None is not looked at.
    """

    def __init__(self, size: MachineSize | None) -> None:
        self.size = size
        self._held: dict[str, MachineSize] = {}

    @property
    def job_ids(self) -> frozenset[str]:
        """Of the jobs in hand."""
        return frozenset(self._held)

    def can_ever_hold(self, needs: MachineSize) -> bool:
        """Whether empty hands are enough."""
        return self.size is None or fits(needs, self.size)

    def have_room_for(self, needs: MachineSize) -> bool:
        """Whether it fits next to what is in hand."""
        return self.size is None or fits(needs, left_of(self.size, self._held.values()))

    def can_take(self, job_id: str, needs: MachineSize) -> bool:
        """Whether there is room for it, and it is not what another slot has taken meanwhile."""
        return job_id not in self._held and self.have_room_for(needs)

    @contextmanager
    def hold(self, job_id: str, needs: MachineSize) -> Iterator[None]:
        """In hand until the block ends; ask `can_take` first, with no await in between."""
        self._held[job_id] = needs
        try:
            yield
        finally:
            del self._held[job_id]
