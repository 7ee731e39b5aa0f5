"""Resource matching: whether a job fits a worker, and why it fits none."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from modelmill.jobs.v1.job_pb2 import Resources
from modelmill_service_kit.machine_size import MachineSize

GB = 10**9
NOTHING = MachineSize()


def as_resources(size: MachineSize) -> Resources:
    """The size as a body carries it."""
    return Resources(
        cpus=size.cpus,
        memory_bytes=size.memory_bytes,
        gpus=size.gpus,
        gpu_memory_bytes=size.gpu_memory_bytes,
    )


def size_of(resources: Resources) -> MachineSize:
    """The size in a body; nothing in particular when none was given."""
    return MachineSize(
        resources.cpus, resources.memory_bytes, resources.gpus, resources.gpu_memory_bytes
    )


def fits(needs: MachineSize, has: MachineSize) -> bool:
    """Whether all that is needed is there."""
    return (
        needs.cpus <= has.cpus
        and needs.memory_bytes <= has.memory_bytes
        and needs.gpus <= has.gpus
        and (needs.gpus == 0 or needs.gpu_memory_bytes <= has.gpu_memory_bytes)
    )


def left_of(whole: MachineSize, taken: Collection[MachineSize]) -> MachineSize:
    """What is left beside work in hand. A GPU that is in use is not shared."""
    return MachineSize(
        whole.cpus - sum(each.cpus for each in taken),
        whole.memory_bytes - sum(each.memory_bytes for each in taken),
        whole.gpus - sum(each.gpus for each in taken),
        whole.gpu_memory_bytes,
    )


def both(one: MachineSize, other: MachineSize) -> MachineSize:
    """What two pieces of work need side by side."""
    return MachineSize(
        one.cpus + other.cpus,
        one.memory_bytes + other.memory_bytes,
        one.gpus + other.gpus,
        max(one.gpu_memory_bytes, other.gpu_memory_bytes),
    )


def misfit(needs: MachineSize, seen: Collection[MachineSize]) -> str:
    """Why none of the workers that were seen can do it; empty when one can, or none was seen."""
    if not seen or any(fits(needs, has) for has in seen):
        return ""
    words = (
        (needs.cpus, max(has.cpus for has in seen), "{:g} cores"),
        (needs.memory_bytes / GB, max(has.memory_bytes for has in seen) / GB, "{:.1f} GB"),
        (needs.gpus, max(has.gpus for has in seen), "{:d} GPUs"),
        (
            needs.gpu_memory_bytes / GB if needs.gpus else 0,
            max(has.gpu_memory_bytes for has in seen) / GB,
            "{:.1f} GB of memory on a GPU",
        ),
    )
    for needed, largest, say in words:
        if needed > largest:
            told = say.format(needed), say.format(largest)
            return f"needs {told[0]}; the largest worker that was seen has {told[1]}"
    return "needs more than any one worker that was seen has, though each part of it was seen"


class WorkerCapacity:
    """Free and used resources of a worker.

    Args:
        size: what it has for all of them together; None is not looked at.
    """

    def __init__(self, size: MachineSize | None) -> None:
        self.size = size
        self._held: dict[str, MachineSize] = {}

    @property
    def free(self) -> MachineSize | None:
        """What is left beside the jobs in hand; None where nothing is looked at."""
        return None if self.size is None else left_of(self.size, self._held.values())

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
