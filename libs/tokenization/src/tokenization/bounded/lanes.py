"""Which process a request may begin in, and when."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenization.bounded.process import BoundedProcess, Reply
from tokenization.bounded.refusals import Refusals

FEWEST = 3
"""One may load, one may try a version that nobody knows, and one is left."""
NOBODY = ""
"""The tenant of what a pool does by itself."""
LOAD = "load"
"""A folder comes in; one at a time."""
AGAIN = "again"
"""A folder that came in well is loaded in another process."""
TRIAL = "trial"
"""A version runs that the tenant has not used well before; one at a time."""
TRUSTED = "trusted"
ENDING = "ending"
"""Nothing runs there: the process is being replaced."""


@dataclass(eq=False)
class Slot:
    """A place for a process."""

    process: BoundedProcess | None = None
    """None while one is being started."""
    busy: str | None = None
    """The lane of what runs there."""


@dataclass(eq=False)
class Job:
    """A request that waits or runs."""

    tenant: str
    folder: str
    asked: Mapping[str, Any]
    characters: int
    result: "asyncio.Future[Reply]"
    at: Slot | None
    """Where it must run; None: anywhere."""
    since: float
    deaths: int = 0
    """Processes that somebody killed while it was in them."""


def has(slot: Slot, folder: str) -> bool:
    """Whether a folder's tokenizer is loaded there."""
    return slot.process is not None and folder in slot.process.open


def lane_of(job: Job, slots: Sequence[Slot], refusals: Refusals) -> str:
    """Of which kind a request is."""
    if job.tenant == NOBODY:
        return AGAIN
    if job.asked["do"] == "load" or not any(has(slot, job.folder) for slot in slots):
        return LOAD
    return TRUSTED if refusals.is_proven(job.tenant, job.folder) else TRIAL


def free_slot(job: Job, lane: str, slots: Sequence[Slot], running: int) -> Slot | None:
    """Where it may begin now.

    Args:
        running: how many requests of its tenant run.
    """
    if lane in (LOAD, TRIAL) and any(slot.busy == lane for slot in slots):
        return None
    # One tenant leaves a process to the others, whatever it asks for.
    if job.tenant != NOBODY and running >= len(slots) - 1:
        return None
    free = [slot for slot in slots if slot.process is not None and slot.busy is None]
    if job.at is not None:
        return job.at if job.at in free else None
    if lane != LOAD:
        free = [slot for slot in free if has(slot, job.folder)]
    # Strangers, and what may cost a process, go where it hurts least; the trusted anywhere else.
    free.sort(key=lambda slot: slot.process is not None and slot.process.stands_back)
    return next(iter(free if lane == TRUSTED else reversed(free)), None)
