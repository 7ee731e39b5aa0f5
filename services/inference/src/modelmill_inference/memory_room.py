"""Room for versions: who fits, and who has to leave first.

The machine is measured anew for each decision: other processes use its memory too.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from modelmill_service_kit.errors import OverloadedError, PreconditionError

from modelmill_inference.domain.memory import MIB, MemoryBook, MemoryNeed
from modelmill_inference.metrics import FREE_BYTES, VERSION_BYTES

RETRY_SECONDS = 10.0
SPARE = "spare process"
"""Its name in the book; no version's id has a space."""


class Occupants(Protocol):
    """Who could leave."""

    def idle(self) -> Sequence[str]:
        """Versions that nobody uses and no alias names, least recently used first."""

    async def free(self, version_id: str) -> None:
        """Unload an idle one; return when its memory is back."""


class Spare(Protocol):
    """A process that no version needs yet; see `adapters.spare_child`."""

    @property
    def need_bytes(self) -> int: ...

    def resident_bytes(self) -> int: ...

    async def discard(self) -> None:
        """End it for good."""


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """How much there is to share out."""

    memory_bytes: int
    """For all versions together."""
    versions: int | None = None
    """How many at most; None leaves it to the memory."""


class MemoryRoom:
    """Keeps the sum of what versions hold below what there is.

    Args:
        free_bytes: free memory of the machine or control group; blocks for milliseconds.
    """

    def __init__(self, free_bytes: Callable[[], int], limits: RoomLimits) -> None:
        self._free_bytes = free_bytes
        self._limits = limits
        self._book = MemoryBook()
        self._seen: dict[str, int] = {}
        """Resident bytes by identity, as the last load of it came to."""
        self._resident: dict[str, Callable[[], int]] = {}
        self._needs: dict[str, MemoryNeed] = {}
        self._spare: Spare | None = None
        # While one waits for what it made leave, another would see neither that nor its memory.
        self._deciding = asyncio.Lock()

    async def take(self, version_id: str, need: MemoryNeed, occupants: Occupants) -> None:
        """Reserve memory for a version that is about to be loaded; idle ones leave for it.

        Raises:
            PreconditionError: it would not fit into the empty machine.
            OverloadedError: it does not fit beside those that are in use or named by aliases.
        """
        if need.identity in self._seen:
            need = replace(need, resident_bytes=self._seen[need.identity])
        self._refuse_impossible(need)
        async with self._deciding:
            await self._make_room(version_id, need.total_bytes, occupants)
            self._needs[version_id] = need
            self._promise(version_id, need.total_bytes)

    async def settle(
        self, version_id: str, resident: Callable[[], int], occupants: Occupants
    ) -> None:
        """Correct a reservation by what the loaded engine really has.

        Raises:
            PreconditionError, OverloadedError: as of `take`; the version has to be closed then.
        """
        seen = await asyncio.to_thread(resident)
        need = replace(self._needs[version_id], resident_bytes=seen)
        self._seen[need.identity] = seen
        self._refuse_impossible(need)
        async with self._deciding:
            self._needs[version_id] = need
            self._resident[version_id] = resident
            self._promise(version_id, need.total_bytes)
            await self._make_room(version_id, 0, occupants)

    async def hold_spare(self, spare: Spare) -> bool:
        """Count it from now on, if there is room; it leaves before any version does."""
        async with self._deciding:
            if await self._measured_room() < spare.need_bytes:
                return False
            self._spare = spare
            self._resident[SPARE] = spare.resident_bytes
            self._book.promise(SPARE, spare.need_bytes)
            return True

    def give_back(self, version_id: str) -> None:
        """It is gone, or was never loaded."""
        self._book.strike(version_id)
        self._resident.pop(version_id, None)
        if self._needs.pop(version_id, None) is not None:
            VERSION_BYTES.remove(version_id)

    def _promise(self, version_id: str, total_bytes: int) -> None:
        self._book.promise(version_id, total_bytes)
        VERSION_BYTES.labels(version_id).set(total_bytes)

    def _refuse_impossible(self, need: MemoryNeed) -> None:
        limit = self._limits.memory_bytes
        if need.total_bytes > limit:
            raise PreconditionError(
                f"the model needs about {_mib(need.total_bytes)} of memory "
                f"({_mib(need.later_bytes)} of it as requests come), "
                f"the limit here is {_mib(limit)}"
            ).because("MODEL_TOO_LARGE")

    async def _make_room(self, version_id: str, bytes_needed: int, occupants: Occupants) -> None:
        while True:
            room = await self._measured_room()
            idle = [name for name in occupants.idle() if name != version_id]
            wanted = self._limits.versions
            crowd = len(self._needs.keys() | {version_id})
            excess = 0 if wanted is None else max(0, crowd - wanted)
            if room >= bytes_needed and not excess:
                return
            if room < bytes_needed and self._spare is not None:
                await self._discard_spare(self._spare)
                continue
            could_come = sum(self._book.held(name) for name in idle)
            if room + could_come < bytes_needed or len(idle) < excess:
                # Nobody leaves for one that would not fit all the same.
                raise self._no_room(room, bytes_needed, excess)
            await occupants.free(idle[0])

    async def _discard_spare(self, spare: Spare) -> None:
        self._spare = None
        await spare.discard()
        self._book.strike(SPARE)
        del self._resident[SPARE]

    def _no_room(self, room: int, bytes_needed: int, excess: int) -> OverloadedError:
        if excess:
            message = f"all {self._limits.versions} versions that may be loaded here are in use"
        else:
            message = (
                f"the model needs {_mib(bytes_needed)} of memory and {_mib(max(room, 0))} are "
                "free beside versions that are in use"
            )
        return OverloadedError(f"{message}. Retry", retry_after_seconds=RETRY_SECONDS)

    async def _measured_room(self) -> int:
        loaded = dict(self._resident)

        def measure() -> tuple[dict[str, int], int]:
            taken = {name: resident() for name, resident in loaded.items()}
            return taken, self._free_bytes()

        taken, free = await asyncio.to_thread(measure)
        for name, resident in taken.items():
            if name in self._resident:
                self._book.see(name, resident)
        FREE_BYTES.set(free)
        return self._book.room(free_bytes=free, limit_bytes=self._limits.memory_bytes)


def _mib(count: int) -> str:
    return f"{round(count / MIB):,} MiB"
