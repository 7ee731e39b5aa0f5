"""Capacity of an installation: what each part could take, and what it has in hand."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerSlots:
    """A worker, with its slots and what it has for all jobs together."""

    worker: str
    kinds: Sequence[str]
    slots: int
    busy_slots: int
    short_slots: int
    """Beside the others, for short jobs."""
    busy_short_slots: int
    cpus: float | None
    """None where it takes whatever comes; so are the following."""
    free_cpus: float | None
    memory_bytes: int | None
    free_memory_bytes: int | None
    gpus: int | None
    free_gpus: int | None

    @property
    def free_slots(self) -> int:
        """For jobs of any length."""
        return max(0, self.slots - self.busy_slots)


@dataclass(frozen=True)
class WorkingProcess:
    """A process of a service that owns jobs, as it answers at its address."""

    service: str
    address: str
    worker: WorkerSlots | None = None
    """None where none is known; `unknown` says why."""
    artifact_disk_bytes: int | None = None
    artifact_disk_free_bytes: int | None = None
    unknown: str = ""
    """What is not known, and why; empty where all is."""


@dataclass(frozen=True)
class LoadedModel:
    """A loaded version of a replica of inference, with what its engine has in hand."""

    version_id: str
    engine: str
    in_flight: int
    max_in_flight: int
    sequences: int
    max_sequences: int
    waiting: int
    max_waiting: int
    tokens: int
    max_tokens: int
    memory_bytes: int


@dataclass(frozen=True)
class InferenceReplica:
    """A replica of inference, as it answers at its address."""

    address: str
    memory_limit_bytes: int | None = None
    """None where it is not known; `unknown` says why. So are the next two."""
    memory_reserved_bytes: int | None = None
    memory_room_bytes: int | None = None
    max_versions: int | None = None
    """None also where as many are loaded as fit."""
    models: Sequence[LoadedModel] = ()
    unknown: str = ""


@dataclass(frozen=True)
class QueueCapacity:
    """The queue of one kind of jobs."""

    kind: str
    waiting: int
    running: int
    free_slots: int | None
    """Of workers that were asked; None where none told."""
    expected_wait_seconds: float | None
    """Of a job that is ordered now; None where nothing says so."""
    unknown: str = ""


NO_WORKER_SEEN = "no job of this kind is in work, and no worker of it told of its slots"
NO_END_KNOWN = "too few jobs of this kind have ended to say when those in work will"


def queue_capacity(
    kind: str,
    *,
    waiting: int,
    running: int,
    workers: Sequence[WorkerSlots],
    starts_in: float | None,
) -> QueueCapacity:
    """The queue of a kind, by its jobs and the workers that told of their slots.

    Args:
        starts_in: seconds by which the jobs in work let a new one start; None where they do not
            say.
    """
    able = [each for each in workers if kind in each.kinds]
    free = sum(each.free_slots for each in able) if able else None
    wait = 0.0 if free and not waiting else starts_in
    unknown = "" if wait is not None else (NO_END_KNOWN if running else NO_WORKER_SEEN)
    return QueueCapacity(kind, waiting, running, free, wait, unknown)
