"""Which process a request may begin in, and when."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelmill_tokenization.bounded.process import BoundedProcess, Reply
from modelmill_tokenization.bounded.refusals import Refusals

FEWEST = 3
"""One runs strangers, one may load again what is trusted, and one is left."""
NOBODY = ""
"""The tenant of what a pool does by itself."""
STRANGE = "strange"
"""A folder comes in, or a version runs that the tenant has not used well before."""
AGAIN = "again"
"""A folder that was used well is loaded in another process; one at a time."""
TRUSTED = "trusted"


@dataclass(eq=False)
class Slot:
    """A place for a process."""

    process: BoundedProcess | None = None
    """None while one is being started."""
    busy: str | None = None
    """The lane of what runs there."""
    tenant: str = NOBODY
    """Whose that is."""


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
    if job.tenant != NOBODY and not refusals.is_proven(job.tenant, job.folder):
        return STRANGE
    known = job.tenant != NOBODY and any(has(slot, job.folder) for slot in slots[1:])
    return TRUSTED if known else AGAIN


def free_slot(job: Job, lane: str, slots: Sequence[Slot]) -> Slot | None:
    """Where it may begin now; the first slot is that of strangers."""
    free = [slot for slot in slots if slot.process is not None and slot.busy is None]
    if lane == STRANGE:
        return slots[0] if slots[0] in free else None
    # Where a stranger would wait for it comes last.
    free = [slot for slot in (*slots[1:], slots[0]) if slot in free]
    # Whatever one tenant asks for, it leaves a process to the trusted of others.
    others = [slot for slot in slots[1:] if slot.tenant != job.tenant or slot.busy is None]
    if job.tenant != NOBODY and len(others) < 2:
        free = [slot for slot in free if slot is slots[0]]
    if job.at is None:
        loaded = [slot for slot in free if has(slot, job.folder)]
        if loaded or lane == TRUSTED:
            return next(iter(loaded), None)
    if any(slot.busy == AGAIN for slot in slots):
        return None
    return next((slot for slot in free if job.at in (None, slot)), None)
